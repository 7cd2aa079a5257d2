/** Long trainings in one process, with the tensors alive and the memory along the way. */
import { setImmediate as turn } from "node:timers/promises";
import { loadConfig } from "../../src/config/load-config.ts";
import { train } from "../../src/recipes/train.ts";
import { liveTensorCount } from "../../src/torch/index.ts";
import { isNightly, progress } from "./campaign.ts";
import { residentMiB, slope } from "./memory.ts";
import type { Values } from "./runs.ts";

/** What a process holds after a step. */
export interface SoakSample {
  step: number;
  live: number;
  residentMiB: number;
}

/** Samples of a training, one after each `every` steps. */
export async function soak(values: Values, every: number): Promise<SoakSample[]> {
  const samples: SoakSample[] = [];
  const tell = progress();
  for await (const event of train(loadConfig({ values }))) {
    if (event.type !== "step" || event.step % every !== 0) continue;
    await turn();
    // finalizers free tensors: memory first
    const resident = residentMiB();
    samples.push({ step: event.step, live: liveTensorCount(), residentMiB: resident });
    if (isNightly) tell(() => `step ${event.step}: ${resident.toFixed(1)} MiB`);
  }
  return samples;
}

/** How many more tensors are alive in one sample than in another, at most. */
export function tensorsLeft(samples: readonly SoakSample[]): number {
  const live = samples.map((sample) => sample.live);
  return Math.max(...live) - Math.min(...live);
}

/** MiB more in a step: the line of least squares through the samples. */
export function growth(samples: readonly SoakSample[]): number {
  return slope(samples.map(({ step, residentMiB }) => [step, residentMiB]));
}
