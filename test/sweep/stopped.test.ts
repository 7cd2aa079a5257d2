/** A run of a grid that is asked to stop before its training begins. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { gridPaths, runGrid } from "../../src/sweep/grid.ts";
import { type RunTask, runTrial } from "../../src/sweep/run-trial.ts";
import type { Trial } from "../../src/sweep/trial.ts";
import { runFixture } from "../support/runs.ts";

test("a stop before the start is scored, or meanwhile, is heard before the training, and the run begins when it is asked for again", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const short = { max_steps: 2, per_device_train_batch_size: 4, max_length: 96, save_strategy: "no" };
  const values = { ...place.values, ...short };
  const trial: Trial = {
    ...{ id: "one", condition: "one", seed: 1, file: null, values, overrides: [], changes: {}, extra: null },
  };
  const paths = gridPaths(place.path("grid"));
  const run = (runTask: (task: RunTask) => Promise<void>) =>
    runGrid([trial], paths, { jobs: 1, out: { write: () => true }, runTask });
  const stopped = { name: "StudyStoppedError", message: "stopped: 0 of 1 runs are finished" };
  await assert.rejects(
    run((task) => runTrial(task, AbortSignal.abort())),
    stopped,
  );
  assert.ok(!existsSync(paths.before(trial)), "nothing was scored");
  const meanwhile = async (task: RunTask): Promise<void> => {
    const asked = new AbortController();
    const running = runTrial(task, asked.signal);
    asked.abort();
    await running;
  };
  await assert.rejects(run(meanwhile), stopped);
  assert.ok(existsSync(paths.before(trial)), "what was scored stays");
  assert.ok(!existsSync(paths.run(trial.id)), "no step was taken");
  assert.deepEqual(
    (await run(runTrial)).map(({ reason }) => reason),
    [null],
  );
});
