/** Ten thousand optimiser steps in one process: as many tensors live at the end as at the beginning, and memory stays as it is. */
import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { loadConfig } from "../../src/config/load-config.ts";
import { train } from "../../src/recipes/train.ts";
import { liveTensorCount } from "../../src/torch/index.ts";
import { amount, figure, isNightly } from "./campaign.ts";
import { residentMiB } from "./memory.ts";
import { runFixture, type Values } from "./runs.ts";

const count = 50;

interface Sample {
  step: number;
  live: number;
  residentMiB: number;
}

/** Samples of a training, fifty in all. */
async function samplesOf(values: Values, steps: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  let printed = performance.now();
  for await (const event of train(loadConfig({ values }))) {
    if (event.type !== "step" || event.step % (steps / count) !== 0) continue;
    await turn();
    // finalizers free tensors: memory first
    const resident = residentMiB();
    samples.push({ step: event.step, live: liveTensorCount(), residentMiB: resident });
    if (!isNightly || performance.now() - printed < 20_000) continue;
    printed = performance.now();
    process.stdout.write(`step ${event.step}: ${samples.at(-1)?.residentMiB.toFixed(1)} MiB\n`);
  }
  return samples;
}

/** MiB more in a thousand steps: the line of least squares through the samples. */
function slope(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number) =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [x, y] = [mean(({ step }) => step), mean(({ residentMiB }) => residentMiB)];
  const covariance = mean(({ step, residentMiB }) => (step - x) * (residentMiB - y));
  return (1000 * covariance) / mean(({ step }) => (step - x) ** 2);
}

/**
 * Trains ten thousand steps.
 *
 * @param name - to follow "Training steps"
 * @param kind - configuration values
 */
export async function soakSteps(name: string, kind: Values): Promise<void> {
  using fixture = runFixture({ rows: 64, held: 0, config: { hidden_size: 16, intermediate_size: 32 } });
  const steps = amount(50, 10_000);
  const values = {
    ...{ ...fixture.values, ...kind, max_steps: steps, output_dir: fixture.path("run") },
    ...{ per_device_train_batch_size: 2, save_strategy: "no", learning_rate: 1e-4, logging_steps: 10 },
  };
  const samples = await samplesOf(values, steps);
  assert.equal(samples.length, count);
  // the first fifth fills caches
  const settled = samples.slice(count / 5);
  const live = settled.map((sample) => sample.live);
  const left = Math.max(...live) - Math.min(...live);
  const grown = slope(settled);
  figure(
    15,
    `Training steps ${name}`,
    `${steps.toLocaleString("en")} steps, ${left} live tensors more or less, ${grown.toFixed(2)} MiB more in 1,000 steps`,
    "10,000 steps, 0 tensors, below 1 MiB in 1,000 steps",
    left === 0 && (!isNightly || grown < 1),
  );
}
