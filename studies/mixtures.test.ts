/** Mixtures of two runs' weights: what is measured of a run, and the points that are made of it. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadConfig } from "../src/config/load-config.ts";
import { train } from "../src/recipes/train.ts";
import { runTrial } from "../src/sweep/run-trial.ts";
import { runFixture } from "../test/support/runs.ts";
import { endOfPairs, type Mixtures, pointsOf } from "./points.ts";

const fixture = runFixture({ rows: 8, held: 4 });
after(() => fixture[Symbol.dispose]());

test("a run's weights and the likelihood's are mixed in between, and the second run is not kept", async () => {
  const dir = fixture.path("mixed");
  const values = {
    ...fixture.values,
    output_dir: dir,
    max_steps: 2,
    learning_rate: 1e-3,
    save_strategy: "no",
  };
  await runTrial({
    config: { values: { ...values, use_peft: false }, overrides: [["objective", "simpo"]] },
    extra: { name: "mixtures", module: new URL("extras.ts", import.meta.url).href },
    ...{ dir, before: fixture.path("before.jsonl"), mark: join(dir, "measured.json"), digest: "" },
  });
  const extra: Mixtures = JSON.parse(readFileSync(join(dir, "mixtures.json"), "utf8"));
  const [quarter, half, rest] = extra.mixtures.map(({ chosen }) => chosen);
  assert.ok(quarter !== undefined && half !== undefined && rest !== undefined);
  // two short trainings: changes are all but linear in the weights, and the likelihood raises chosen answers more
  assert.ok(rest > half && half > quarter, `${[quarter, half, rest]}`);
  assert.ok(Math.abs(half - (quarter + rest) / 2) < 0.1 * (rest - quarter), `${[quarter, half, rest]}`);
  assert.equal(existsSync(join(dir, "likelihood")), false);
  const run = { trial: { seed: 2 }, extra } as never;
  const points = pointsOf(
    new Map([["SimPO, mixed @ 0.001", { name: "SimPO, mixed @ 0.001", runs: [run], failed: [] }]]),
  );
  assert.deepEqual(
    points.map(({ name, set, learningRate, chosen }) => [name, set, learningRate, chosen]),
    [
      ["SimPO 0.75 + likelihood 0.25", 2, 0.001, quarter],
      ["SimPO 0.5 + likelihood 0.5", 2, 0.001, half],
      ["SimPO 0.25 + likelihood 0.75", 2, 0.001, rest],
    ],
  );
});

test("a run that was stopped is resumed, and the likelihood's begins", async () => {
  const dir = fixture.path("stopped");
  const values = {
    ...{ ...fixture.values, output_dir: dir, max_steps: 2, learning_rate: 1e-3, use_peft: false },
    ...{ per_device_train_batch_size: 2, gradient_accumulation_steps: 1 },
  };
  const task = (more: Record<string, unknown>) => ({
    config: { values: { ...values, ...more }, overrides: [["objective", "simpo"]] as const },
    extra: { name: "mixtures", module: new URL("extras.ts", import.meta.url).href },
    ...{ dir, before: fixture.path("before.jsonl"), mark: join(dir, "measured.json"), digest: "" },
  });
  for await (const event of train(loadConfig(task({}).config), { signal: AbortSignal.abort() }))
    if (event.type === "end") assert.equal(event.summary.reason, "stopped");
  await runTrial(task({ resume_from_checkpoint: "latest" }));
  assert.ok(existsSync(join(dir, "mixtures.json")));
});

test("an end: changes are means over pairs, drift is over tokens", () => {
  const pair = (chosen: number[], rejected: number[]) => ({ file: "rows", line: 1, chosen, rejected });
  const before = [pair([-1, -2], [-3]), pair([-1], [-1])];
  const end = endOfPairs(before, [pair([-0.5, -4], [-5]), pair([-1], [-1])]);
  assert.deepEqual([end.chosen, end.margin], [-0.375, -0.375 + 1]);
  assert.ok(Math.abs(end.drift - 2.5 / 3) < 1e-12);
  // between −2 and 0, 0.02 of the way
  assert.ok(Math.abs(end.tail - -1.96) < 1e-12);
});
