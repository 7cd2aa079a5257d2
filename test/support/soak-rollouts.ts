/** Many rollouts in one process, with their memory. */
import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { loadConfig } from "../../src/config/load-config.ts";
import { train } from "../../src/recipes/train.ts";
import { liveTensorCount } from "../../src/torch/index.ts";
import { amount, figure, isNightly } from "./campaign.ts";
import { residentMiB } from "./memory.ts";
import { onlineFixture } from "./online-run.ts";

/** Rollouts until caches are full; they are not judged. */
const warmUp = 50;

/** Trains on a thousand rollouts; short form: a hundred. */
export async function soakRollouts(): Promise<void> {
  using fixture = onlineFixture({ rows: 16, config: { hidden_size: 16, intermediate_size: 32 } });
  const rollouts = amount(100, 1000);
  const { save_steps: _, ...online } = fixture.online;
  const values = {
    ...online,
    ...{ max_steps: rollouts, output_dir: fixture.path("run"), save_strategy: "no", logging_steps: 10 },
  };
  const live: number[] = [];
  const resident: number[] = [];
  for await (const event of train(loadConfig({ values }))) {
    if (event.type !== "step" || event.step < warmUp || event.step % 10 !== 0) continue;
    await turn();
    resident.push(residentMiB());
    live.push(liveTensorCount());
  }
  const left = Math.max(...live) - Math.min(...live);
  const grown = (100 * slope(resident)) / 10;
  assert.equal(left, 0, "live tensors");
  figure(
    15,
    "Rollouts of an on-policy run",
    `${rollouts.toLocaleString("en")} rollouts, ${left} live tensors more or less, ${grown.toFixed(2)} MiB more in 100 after the first ${warmUp}`,
    "1,000 rollouts, 0 tensors, below 1 MiB in 100",
    !isNightly || grown < 1,
  );
}

/** By how much `values` grow from one to the next: the line of least squares. */
function slope(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const covariance = values.reduce((sum, value, i) => sum + (i - middle) * (value - mean), 0);
  return covariance / values.reduce((sum, _, i) => sum + (i - middle) ** 2, 0);
}
