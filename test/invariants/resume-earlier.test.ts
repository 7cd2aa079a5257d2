/** Runs of an earlier version, whose checkpoints carry no records and no digest of themselves, resume. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  assertSameRun,
  checkpointOf,
  cutBack,
  evaluationsOf,
  notesOf,
  runFixture,
  runTraining,
  type Values,
} from "../support/runs.ts";

const fixture = runFixture({ rows: 13, held: 4 });
after(() => fixture[Symbol.dispose]());

const steps = 12;
const recipe: Values = {
  ...fixture.values,
  ...{ objective: "slime", learning_rate: 5e-3, use_peft: true, lora_r: 4, lora_alpha: 8, lora_dropout: 0.2 },
  ...{ per_device_train_batch_size: 2, gradient_accumulation_steps: 2, max_steps: steps },
  ...{ logging_steps: 3, eval_steps: 4, save_steps: 1, log_entropy: true },
};
const whole = fixture.path("whole");
await runTraining({ ...recipe, output_dir: whole });

/** The run cut back to the checkpoint of step 7, as an earlier version wrote it. */
function cut(name: string): string {
  const dir = cutBack(whole, fixture.path(name), 7);
  const checkpoint = checkpointOf(dir, 7);
  rmSync(join(checkpoint, "records.json"));
  const path = join(checkpoint, "checkpoint.json");
  const { sha256: _, ...manifest } = JSON.parse(readFileSync(path, "utf8"));
  manifest.files = manifest.files.filter((file: { name: string }) => file.name !== "records.json");
  writeFileSync(path, `${JSON.stringify({ ...manifest, state: {} }, null, 2)}\n`);
  return dir;
}

test("from its last checkpoint, to the same end", async () => {
  const dir = cut("kept");
  const record = await runTraining({ ...recipe, output_dir: dir, resume_from_checkpoint: "latest" });
  assert.match(notesOf(record).join("\n"), /^resumed from .*checkpoint-7$/m);
  assertSameRun(dir, whole, steps);
});

test("where the first evaluation is lost it says so, and measures changes from the next one", async () => {
  const dir = cut("lost");
  rmSync(join(dir, "evaluation-start.json"));
  const record = await runTraining({ ...recipe, output_dir: dir, resume_from_checkpoint: "latest" });
  assert.match(notesOf(record).join("\n"), /^resumed from .*checkpoint-7$/m);
  assert.match(
    notesOf(record).join("\n"),
    /^the log-probs of the first evaluation are lost \(evaluation-start\.json\)/m,
  );
  assert.deepEqual(
    evaluationsOf(record).map((row) => row["eval_logps/chosen_delta_init"] === 0),
    [true, false],
  );
});

test("from a named checkpoint before others: the later ones are left aside, and the next resume takes the new course", async () => {
  const dir = fixture.path("named");
  const at = { ...recipe, output_dir: dir, save_total_limit: 2 };
  await runTraining({ ...at, save_total_limit: null });
  const stop = new AbortController();
  const record = await runTraining(
    { ...at, resume_from_checkpoint: "checkpoint-3" },
    {
      signal: stop.signal,
      onEvent: (event) => {
        if (event.type === "checkpoint" && event.step === 5) stop.abort();
      },
    },
  );
  assert.match(notesOf(record).join("\n"), /^9 later checkpoints of the run are left aside: .*left-4-/m);
  const names = readdirSync(join(dir, "checkpoints"));
  const steps = names.flatMap((name) => /^checkpoint-(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  assert.deepEqual(
    steps.toSorted((a, b) => a - b),
    [4, 5],
  );
  const again = await runTraining({ ...at, resume_from_checkpoint: "latest" });
  assert.match(notesOf(again).join("\n"), /^resumed from .*checkpoint-5$/m);
  assertSameRun(dir, whole, 12);
});
