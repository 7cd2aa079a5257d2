/** Rows of prompts to sample completions of: their limits, whatever their good completions are, and their columns for rewards. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { createRowEncoder } from "../text/encode.ts";
import { parseJson } from "../text/json.ts";
import { plainText } from "../text/message-text.ts";
import type { Message } from "../text/messages.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { type Dataset, type DatasetOptions, prepareDataset } from "./dataset.ts";
import { type Example, promptOf } from "./example.ts";
import { fingerprintOf } from "./fingerprint.ts";
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

test("numbers of a row are those that JavaScript has, in lists, objects and tool calls too; beyond 2^53 BigInts", async () => {
  const written =
    '{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": [{"type": "function", ' +
    '"function": {"name": "f", "arguments": {"id": 1234567890123456789, "price": 1.0}}}]}, {"role": "tool", "content": "b"}], ' +
    '"answer": 18.0, "id": 12345678901234567890, "scores": [1.0, 2.5, [-0.0]], "meta": {"big": {"1": -9007199254740993, "0": 1e20}}, "none": null}';
  const value = parseJson(written) as Record<string, unknown>;
  const { reward, source } = normaliseRow(
    { origin: { file: "rows.jsonl", line: 1 }, value },
    { task: "prompt" },
  );
  assert.deepEqual(reward?.columns, {
    answer: 18,
    id: 12345678901234567890n,
    scores: [1, 2.5, [-0]],
    meta: { big: { 0: 1e20, 1: -9007199254740993n } },
    none: null,
  });
  // another process is given the same
  assert.deepEqual(structuredClone(reward), reward);
  const call = { name: "f", arguments: { id: 1234567890123456789n, price: 1 } };
  const asked = reward?.prompt as readonly Message[];
  assert.deepEqual(asked[1]?.tool_calls, [{ type: "function", function: call }]);
  assert.match(plainText(asked), /"arguments":\{"id":1234567890123456789,"price":1\}/);
  // a template is given them as they are spelled
  assert.ok(source?.kind === "chat");
  assert.match(JSON.stringify(source.prompt), /"arguments":\{"id":1234567890123456789,"price":1.0\}/);
  const example = { origin: { file: "rows.jsonl", line: 1 }, promptIds: [1], completions: [], reward };
  assert.match(fingerprintOf([example as Example]), /^[0-9a-f]{64}$/);
});
