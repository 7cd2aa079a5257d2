/** Other text of a run that names none: what of the held-out prompts it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type RunFixture, runFixture, type Values } from "../../test/support/runs.ts";
import { pairRows, writeRows } from "../../test/support/tiny-model.ts";
import { loadConfig } from "../config/load-config.ts";
import type { Example } from "../data/example.ts";
import { type PreparedData, prepareData } from "../train/prepare-data.ts";
import { type OtherText, otherTextOf } from "./other-text.ts";

const { config } = loadConfig({
  values: { model_name_or_path: "m", train_data: "a", eval_data: "b", output_dir: "o" },
});

/** What stands for other text of held-out rows with these prompts. */
function ofPrompts(prompts: readonly (readonly number[])[]): Promise<OtherText | null> {
  const evalExamples = prompts.map(
    (promptIds, i): Example => ({
      origin: { file: "held", line: i + 1 },
      promptIds: [...promptIds],
      completions: [{ ids: Array(400).fill(5) }, { ids: [6] }],
    }),
  );
  const data = { dataset: { evalExamples, examples: [] } } as unknown as PreparedData;
  return otherTextOf(config, data, null, () => {});
}

test("the tokens that all prompts begin with are context, and not measured", async () => {
  const system = Array.from({ length: 40 }, (_, i) => 100 + i);
  const prompts = [7, 8, 9].map((own) => [...system, own, own, own, 3]);
  const other = await ofPrompts(prompts);
  const [first] = other?.examples ?? [];
  assert.deepEqual(first?.promptIds, system);
  assert.deepEqual(first?.completions, [{ ids: [7, 7, 7, 3] }]);
  assert.match(
    String(other?.name),
    /^the prompt of a held-out row \(4 tokens behind the 40 that all prompts begin with\)$/,
  );
  // nothing is shared but what nothing predicts
  const apart = await ofPrompts([
    [1, 7, 7],
    [1, 8, 8],
  ]);
  assert.deepEqual(
    apart?.examples.map(({ promptIds, completions }) => [promptIds, completions[0]?.ids]),
    [
      [[1], [7, 7]],
      [[1], [8, 8]],
    ],
  );
  assert.equal(apart?.name, "2 held-out prompts (4 tokens)");
  // one prompt shares nothing with another
  assert.deepEqual((await ofPrompts([system, system]))?.examples[0]?.promptIds, [100]);
});

/** A run whose columns have other names, what reads its drift_data, and the rows of both. */
function renamedRun(place: RunFixture, columns: Values) {
  const rows = pairRows(10);
  const renamed = rows.map(({ prompt, chosen, rejected }) => ({
    ...{ question: prompt, ask: { text: prompt } },
    ...{ best: chosen, worse: rejected },
  }));
  const run = {
    ...{ ...place.values, output_dir: place.path("run"), objective: "simpo", eval_steps: 5 },
    columns,
    train_data: writeRows(place.path("t.jsonl"), renamed.slice(0, 6)),
    eval_data: writeRows(place.path("e.jsonl"), renamed.slice(6)),
  };
  const read = async (drift: readonly object[]): Promise<OtherText | null> => {
    const { config: own } = loadConfig({
      values: { ...run, drift_data: writeRows(place.path("drift.jsonl"), drift) },
    });
    return otherTextOf(own, await prepareData({ ...own, task: "preference" }), null, () => {});
  };
  return { rows: rows.slice(6), renamed: renamed.slice(6), read };
}

const idsOf = (other: OtherText | null) =>
  other?.examples.map(({ promptIds, completions }) => [promptIds, completions[0]?.ids]);

test("drift_data is read by the run's columns where it has them, else by the usual names", async () => {
  using place = runFixture({ rows: 6, held: 4 });
  const columns = { prompt: "question", chosen: "best", rejected: "worse" };
  const { rows, renamed, read } = renamedRun(place, columns);
  const ids = idsOf(await read(renamed));
  assert.equal(ids?.length, 4);
  assert.deepEqual(idsOf(await read(rows)), ids);
  assert.equal((await read(rows.map(({ prompt }) => ({ text: prompt }))))?.examples.length, 4);
});

test("a column of the run that is a path into objects is found in drift_data too", async () => {
  using place = runFixture({ rows: 6, held: 4 });
  const columns = { prompt: "ask.text", chosen: "best", rejected: "worse" };
  const { rows, renamed, read } = renamedRun(place, columns);
  assert.deepEqual(idsOf(await read(renamed)), idsOf(await read(rows)));
});

test("drift_data whose later rows are in other columns of the run than its first is refused by line", async () => {
  using place = runFixture({ rows: 6, held: 4 });
  const columns = { prompt: "question", chosen: "best", rejected: "worse" };
  const { rows, renamed, read } = renamedRun(place, columns);
  const [first = {}, second] = renamed;
  // without the refusal the second row's own prompt would stand in for its question
  const mixed = [...rows.slice(0, 1), { ...second, ...rows[1] }];
  await assert.rejects(read(mixed), {
    name: "DataError",
    message:
      /drift\.jsonl:2: expected no column of columns that the first row .* lacks, got question, best, worse\. .* in one form/,
  });
  await assert.rejects(read([first, { ...second, question: undefined }]), {
    message: /drift\.jsonl:2: expected a column "question" \(columns: \{prompt: question\}\)/,
  });
});
