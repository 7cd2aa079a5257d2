/** Rows with reference sums in runs and scoring: used, or said not to be. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { loadMethod } from "../../src/config/load-config.ts";
import { objectiveOf } from "../../src/methods/losses.ts";
import { score } from "../../src/recipes/score.ts";
import { prepareData, rowsOf } from "../../src/train/prepare-data.ts";
import { notesOf, runFixture, runTraining } from "../support/runs.ts";
import { pairRows, writeRows } from "../support/tiny-model.ts";
import { listenToWarnings } from "../support/warnings.ts";

const fixture = runFixture({ rows: 1, held: 0 });
after(() => fixture[Symbol.dispose]());
const model = String(fixture.values["model_name_or_path"]);
const sums = { ref_chosen_logps: -2.5, ref_rejected_logps: -4.75 };
const all = writeRows(
  fixture.path("all.jsonl"),
  pairRows(4).map((row) => ({ ...row, ...sums })),
);
const some = writeRows(
  fixture.path("some.jsonl"),
  pairRows(4).map((row, i) => (i === 0 ? row : { ...row, ...sums })),
);

test("a run says that sums of some rows are not used", async () => {
  const values = { ...fixture.values, objective: "dpo", max_steps: 1, per_device_train_batch_size: 4 };
  const [whole, partly] = [
    await runTraining({ ...values, train_data: all, output_dir: fixture.path("whole") }),
    await runTraining({ ...values, train_data: some, output_dir: fixture.path("partly") }),
  ];
  const about = (record: typeof whole) => notesOf(record).filter((text) => text.startsWith("ref_"));
  assert.deepEqual(about(whole), []);
  assert.match(about(partly).join(), /of 3 of 4 rows are not used: the other rows have none/);
});

test("a reference that is named takes the place of the rows' sums, and it is said", async (t) => {
  const warnings = listenToWarnings(t);
  const options = { model, data: all, device: "cpu", threads: 1, dtype: "float32" } as const;
  const objective = objectiveOf(loadMethod({ objective: "dpo" }));
  const given = await score({ ...options, objective });
  const named = await score({ ...options, objective, reference: model });
  // the model beside itself
  assert.equal(named.objective?.loss, Math.LN2);
  assert.notEqual(given.objective?.loss, Math.LN2);
  const notes = await warnings("ref_");
  assert.deepEqual(notes, [
    `ref_chosen_logps, ref_rejected_logps of 4 of 4 rows are not used: the reference is ${model}.`,
  ]);
});

test("for a reward model the columns are passed over", async () => {
  const used = async (task: "preference" | "reward") => {
    const { dataset } = await prepareData(rowsOf(all, { model_name_or_path: model, task }));
    return Object.keys(dataset.report.columns.used);
  };
  assert.ok((await used("preference")).includes("ref_chosen_logps"));
  assert.ok(!(await used("reward")).includes("ref_chosen_logps"));
});
