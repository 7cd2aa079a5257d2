/** Other text of a run that names none: what of the held-out prompts it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runFixture } from "../../test/support/runs.ts";
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

test("drift_data is read by the run's columns where it has them, else by the usual names", async () => {
  using place = runFixture({ rows: 6, held: 4 });
  const rows = pairRows(10);
  const renamed = rows.map(({ prompt, chosen, rejected }) => ({
    question: prompt,
    best: chosen,
    worse: rejected,
  }));
  const run = {
    ...{ ...place.values, output_dir: place.path("run"), objective: "simpo", eval_steps: 5 },
    columns: { prompt: "question", chosen: "best", rejected: "worse" },
    train_data: writeRows(place.path("t.jsonl"), renamed.slice(0, 6)),
    eval_data: writeRows(place.path("e.jsonl"), renamed.slice(6)),
  };
  const files = {
    renamed: writeRows(place.path("renamed.jsonl"), renamed.slice(6)),
    usual: writeRows(place.path("usual.jsonl"), rows.slice(6)),
    texts: writeRows(
      place.path("texts.jsonl"),
      rows.slice(6).map(({ prompt }) => ({ text: prompt })),
    ),
  };
  const read = async (drift_data: string): Promise<OtherText | null> => {
    const { config: own } = loadConfig({ values: { ...run, drift_data } });
    return otherTextOf(own, await prepareData({ ...own, task: "preference" }), null, () => {});
  };
  const chosen = (await read(files.renamed))?.examples.map(({ completions }) => completions[0]?.ids);
  assert.equal(chosen?.length, 4);
  assert.deepEqual(
    (await read(files.usual))?.examples.map(({ completions }) => completions[0]?.ids),
    chosen,
  );
  assert.equal((await read(files.texts))?.examples.length, 4);
});
