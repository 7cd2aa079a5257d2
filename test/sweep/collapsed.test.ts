/** A run of a grid that its watch ended: it stays failed, with the same reason, whenever the grid is started again. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gridPaths, runGrid } from "../../src/sweep/grid.ts";
import { runTrial } from "../../src/sweep/run-trial.ts";
import type { Trial } from "../../src/sweep/trial.ts";
import { metricsOf, runFixture } from "../support/runs.ts";

test("a collapsed run is failed, and failed again by the same reason, without another step", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const bounds = { watch_thresholds: { drift: 0.01, tail: 0.01 }, watch_action: "stop", eval_steps: 2 };
  const short = { max_steps: 8, per_device_train_batch_size: 4, max_length: 96, learning_rate: 1e-1 };
  const values = { ...place.values, ...short, ...bounds, logging_steps: 1 };
  const trial: Trial = {
    ...{ id: "one", condition: "one", seed: 1, file: null, values, overrides: [], changes: {}, extra: null },
  };
  const paths = gridPaths(place.path("grid"));
  const options = { jobs: 1, out: { write: () => true }, runTask: runTrial };
  const [first] = await runGrid([trial], paths, options);
  assert.match(first?.reason ?? "", /without a model to measure \(collapsed: .*rose by more than 0\.01/);
  const steps = metricsOf(paths.run(trial.id)).length;
  const [again] = await runGrid([trial], paths, options);
  assert.equal(again?.reason, first?.reason);
  assert.equal(metricsOf(paths.run(trial.id)).length, steps);
  assert.equal(existsSync(join(paths.run(trial.id), "measured.json")), false);
});
