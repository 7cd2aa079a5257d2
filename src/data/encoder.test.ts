/** What the encoder refuses, as findings: codes, places, and rows left out where that is asked for. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { createRowEncoder } from "../text/encode.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { chatMl } from "../toy/toy-tokenizer.ts";
import { prepareDataset } from "./dataset.ts";

const user = { role: "user", content: "q" };
const say = (content: string) => ({ role: "assistant", content });
const call = { ...say(""), tool_calls: [{ function: { name: "f", arguments: "{}" } }] };

const pairs = [
  { prompt: [user], chosen: [say("a")], rejected: [say("b")] },
  { prompt: [user], chosen: [call], rejected: [say("b")] },
  { prompt: [{ ...user, name: "Ada" }], chosen: [say("a")], rejected: [say("b")] },
  { prompt: [user], chosen: [say("a")], rejected: [say("<think>\n\n</think>\n\n")] },
];
const conversations = [
  { messages: [user, say("a"), user, say("b")] },
  { messages: [user, say(" "), user, say("b")] },
  { messages: [user, say("a"), user, say("")] },
  { messages: [{ ...user, name: "Ada" }, say("a")] },
];

test("rows that the template does not write in full, and answers that say nothing, are named; drop leaves them out", async () => {
  await withToyTokenizer({ chatTemplate: chatMl }, async (directory) => {
    const tokenizer = loadTokenizer(directory);
    await using encoder = createRowEncoder(tokenizer);
    const facts = { vocabSize: 264, bosTokenId: null, stopIds: new Set([2]) };
    for (const [task, rows, found] of [
      ["preference", pairs, { not_rendered: 2, empty_answer: 1 }],
      ["sft", conversations, { empty_answer: 2, not_rendered: 1 }],
    ] as const) {
      const path = join(directory, `${task}.jsonl`);
      writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
      const options = { sources: [{ path }], task, encoder, facts, seed: 0 };
      const { report } = await prepareDataset(options);
      const errors = report.findings.filter(({ severity }) => severity === "error");
      assert.deepEqual(Object.fromEntries(errors.map(({ code, count }) => [code, count])), found);
      assert.deepEqual(
        errors.flatMap((finding) => finding.rows).sort(),
        [2, 3, 4].map((line) => `${path}:${line}`),
      );
      const dropped = await prepareDataset({ ...options, invalid_rows: "drop" });
      assert.equal(dropped.examples.length, 1);
      assert.deepEqual(dropped.report.counts.dropped, found);
      assert.ok(dropped.report.findings.every(({ severity }) => severity === "warning"));
    }
  });
});
