/** Rows of prompts to sample completions of: their limits, whatever their good completions are, and their columns for rewards. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { createRowEncoder } from "../text/encode.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { type Dataset, type DatasetOptions, prepareDataset } from "./dataset.ts";
import { promptOf } from "./example.ts";
import { normaliseRow } from "./rows.ts";

/** What becomes of `rows` as prompts, with their text. */
async function prepared(
  rows: readonly object[],
  options: Partial<DatasetOptions> & { held?: readonly object[] } = {},
): Promise<Dataset & { prompts: string[]; pairs: string[]; codes: string[] }> {
  const { held, ...more } = options;
  return await withToyTokenizer({}, async (directory) => {
    const write = (name: string, values: readonly object[]) => {
      const path = join(directory, name);
      writeFileSync(path, values.map((row) => `${JSON.stringify(row)}\n`).join(""));
      return [{ path }];
    };
    const tokenizer = loadTokenizer(directory);
    await using encoder = createRowEncoder(tokenizer);
    const dataset = await prepareDataset({
      ...{ sources: write("rows.jsonl", rows), task: "prompt", encoder, seed: 0, plain_strings: "text" },
      ...(held === undefined ? {} : { evalSources: write("held.jsonl", held) }),
      facts: { vocabSize: 264, bosTokenId: null, stopIds: new Set([2]) },
      ...more,
    });
    const textOf = (ids: readonly number[]) => tokenizer.decode(ids, { skipSpecialTokens: false });
    return {
      ...dataset,
      prompts: dataset.examples.map((example) => textOf(promptOf(example))),
      pairs: dataset.examples.map(({ promptIds, completions }) =>
        [promptIds, ...completions.map(({ ids }) => ids)].map(textOf).join("|"),
      ),
      codes: dataset.report.findings.map(({ code, severity, count }) => `${severity} ${code} ${count}`),
    };
  });
}

test("prompts are held to the longest length by themselves; a good completion is cut, or left out with a warning", async () => {
  const rows = [
    // "ll" is one token
    { prompt: "the bal", chosen: "l" },
    { prompt: "where was it?", chosen: "on the other side of the hill" },
    { prompt: "a prompt that is itself too long" },
  ];
  const run = (overflow: "error" | "drop" | "truncate") => prepared(rows, { max_length: 24, overflow });
  const failed = await run("error");
  assert.deepEqual(failed.codes.slice(0, 2), ["error too_long 1", "warning good_completion_too_long 1"]);
  assert.match(failed.report.findings[0]?.message ?? "", /rows\.jsonl:3 has 32 tokens, max_length is 24/);
  const dropped = await run("drop");
  assert.deepEqual(dropped.report.counts.dropped, { too_long: 1 });
  assert.ok(dropped.codes.includes("warning good_completion_too_long 1"), `${dropped.codes}`);
  assert.deepEqual(dropped.prompts, ["the bal", "where was it?"]);
  assert.deepEqual(dropped.pairs, ["the ba|ll<|im_end|>", "where was it?"]);
  const cut = await run("truncate");
  assert.deepEqual(cut.prompts, ["the bal", "where was it?", "a prompt that is itself too long".slice(-24)]);
  // its prompt keeps a quarter
  assert.equal(cut.pairs[1], "as it?|on the other side ");
});

test("every row has the columns of its data set, null where it has none; those of held-out files are apart", async () => {
  const rows = [{ prompt: "a" }, { prompt: "b", answer: 1 }, { prompt: "c", hint: "d" }];
  const held = [{ prompt: "e", level: 2 }, { prompt: "f" }];
  const columnsOf = (examples: Dataset["examples"] | null) => examples?.map(({ reward }) => reward?.columns);
  const apart = await prepared(rows, { held });
  assert.deepEqual(columnsOf(apart.examples), [
    { answer: null, hint: null },
    { answer: 1, hint: null },
    { answer: null, hint: "d" },
  ]);
  assert.deepEqual(columnsOf(apart.evalExamples), [{ level: 2 }, { level: null }]);
  const split = await prepared(rows, { eval_fraction: 0.5 });
  const all = [...split.examples, ...(split.evalExamples ?? [])];
  assert.ok((split.evalExamples ?? []).length > 0);
  for (const { reward } of all)
    assert.deepEqual(Object.keys(reward?.columns ?? {}).sort(), ["answer", "hint"]);
});

test("the answer to a question is for the rewards, whatever its type: no completion to watch or replay", () => {
  for (const answer of ["Ann", ["Ann", "Ann B."], 2, { text: ["Ann"] }]) {
    const row = { origin: { file: "rows.jsonl", line: 1 }, value: { question: "Who?", answer } };
    const { source, reward, columns } = normaliseRow(row, { task: "prompt" });
    assert.ok(source?.kind === "chat");
    assert.deepEqual(source.completions, []);
    assert.deepEqual(reward?.columns["answer"], answer);
    assert.deepEqual(columns.doubtful, []);
  }
});
