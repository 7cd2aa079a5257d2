/** What the encoder refuses, as findings: codes, places, and rows left out where that is asked for. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type ToyOptions, withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { createRowEncoder } from "../text/encode.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { chatMl } from "../toy/toy-tokenizer.ts";
import { prepareDataset } from "./dataset.ts";
import { promptKeyOf } from "./fingerprint.ts";

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

type Keys = (task: "preference" | "sft", rows: readonly unknown[]) => Promise<string[]>;

/** Runs `body` with the keys that rows' prompts have with a toy tokenizer. */
function withKeys(toy: ToyOptions, body: (keys: Keys) => Promise<void>): Promise<void> {
  return withToyTokenizer(toy, async (directory) => {
    await using encoder = createRowEncoder(loadTokenizer(directory));
    await body(async (task, rows) => {
      const path = join(directory, "keys.jsonl");
      writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
      const facts = { vocabSize: 264, bosTokenId: null, stopIds: new Set([2, 4]) };
      const { examples } = await prepareDataset({ sources: [{ path }], task, encoder, facts, seed: 0 });
      assert.equal(examples.length, rows.length);
      return examples.map(promptKeyOf);
    });
  });
}

test("rows of one prompt have one key, whether or not its last tokens merge with the answer", async () => {
  await withKeys({ chatTemplate: chatMl }, async (keys) => {
    const tellsApart = async (...[task, rows]: Parameters<Keys>): Promise<void> => {
      const [first, second, other] = await keys(task, rows);
      assert.equal(first, second);
      assert.notEqual(first, other);
    };
    // The toy tokenizer merges " a" and two newlines. A prompt of one token has a key of its own as well.
    for (const [prompt, other] of [
      ["q ", "q"],
      ["q", "z"],
    ]) {
      const pair = { prompt, chosen: "bb", rejected: "b" };
      await tellsApart("preference", [pair, { ...pair, chosen: "ab" }, { ...pair, prompt: other }]);
    }
    const chat = { prompt: [user], chosen: [say("yes")], rejected: [say("no")] };
    const other = [{ ...user, content: "z" }];
    await tellsApart("preference", [chat, { ...chat, chosen: [say("\nyes")] }, { ...chat, prompt: other }]);
    const talk = (content: string) => ({ messages: [user, say(content), user, say("b")] });
    await tellsApart("sft", [talk("a"), talk("\na"), { messages: [...other, say("a")] }]);
  });
});

test("texts without a prompt have a key each", async () => {
  await withKeys({ prependBos: true }, async (keys) => {
    const rows = [{ text: "aa" }, { text: "ab" }, { prompt: "", completion: "b" }];
    assert.equal(new Set(await keys("sft", rows)).size, 3);
  });
});
