/** `preftune labels import` as a user calls it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Comparison } from "../workbench/comparison.ts";
import { openWorkbench } from "../workbench/workbench-dir.ts";
import { program } from "./program.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-import-"));
after(() => rmSync(root, { recursive: true }));
let files = 0;

/** What comes of rows that are imported, in a workbench of their own. */
async function imported(row: object, ...options: string[]): Promise<Comparison> {
  const [rows, dir] = [join(root, `${files++}.jsonl`), join(root, `bench-${files}`)];
  writeFileSync(rows, `${JSON.stringify(row)}\n`);
  const words = ["labels", "import", dir, rows, ...options];
  await (await program(words)).parseAsync(["node", "preftune", ...words]);
  using store = openWorkbench(dir);
  return store.item(store.order[0] ?? "").comparison;
}

const answers = { chosen: "Blue it is.", rejected: "Green it is." };
const asked = "Which colour has the sky?";

test("labels import reads pairs by the mapping that its error proposes", async () => {
  const rows = [
    { question_text: asked, ...answers },
    { prompt: asked, good: answers.chosen, rejected: answers.rejected },
    { post: asked, chosen: answers.chosen, response_rejected: answers.rejected },
  ];
  for (const row of rows) {
    const message = await imported(row, "--form", "pairs").then(String, (error: Error) => error.message);
    const mapping = /set columns: (\{.*\})\.$/.exec(message)?.[1];
    assert.ok(mapping, message);
    const { prompt, answers: read, extra } = await imported(row, "--columns", mapping);
    assert.deepEqual([prompt, read.toSorted(), extra], [asked, Object.values(answers).toSorted(), {}]);
  }
  // columns that no form has are named with the way to say what they are
  const others = { q: asked, best: answers.chosen, worst: answers.rejected };
  await assert.rejects(
    imported(others),
    /got the columns q, best, worst:[\s\S]*columns: \{prompt: question, /,
  );
  const { prompt } = await imported(others, "--columns", "prompt=q,chosen=best,rejected=worst");
  assert.equal(prompt, asked);
});

test("a mapping that says nothing of the rows is refused", async () => {
  const row = { prompt: asked, ...answers };
  const refused: [string[], RegExp][] = [
    [
      ["--columns", "{prompt: question}"],
      /:1: expected a column "question" .*found prompt, chosen, rejected/,
    ],
    [["--columns", "{promt: prompt}"], /columns: .*promt/],
    [
      ["--columns", "{prompt: prompt}", "--form", "table"],
      /columns: expected rows of the form pairs.*got table/,
    ],
  ];
  for (const [options, message] of refused) await assert.rejects(imported(row, ...options), message);
});
