/** How long a plan's rows take. */
import { isOnPolicy } from "../config/online-keys.ts";
import { updatesOf } from "../methods/index.ts";
import type { PlanInput, PlannedKeys, Workload } from "./plan-input.ts";

/** Kernels that a block launches forward and back: the block's, its adapters', and those of computing it again. */
const launches = { block: 90, adapter: 60, again: 30 };
/** Seconds from one launch to the next: a call of an operator from here, and what torch does for it. */
const secondsALaunch = 5e-6;
/** Fraction of a step's kernels that a forward pass alone launches. */
export const forwardShare: number = 1 / 3;

/** On a GPU a small micro-batch waits for its kernels to be launched, whatever they compute. */
export function launchSeconds({ model, trained, keys, device, isUtilisationGiven }: PlanInput): number {
  if (!device.isGpu || isUtilisationGiven) return 0;
  const block =
    launches.block +
    (trained.adapted.length > 0 ? launches.adapter : 0) +
    (keys.gradient_checkpointing ? launches.again : 0);
  return model.numLayers * block * secondsALaunch;
}

/** Seconds of a pair and the fraction of the peak that is reached; `passes` is how many steps' kernels it launches. */
export function pairTime(
  flops: number,
  input: PlanInput,
  passes: number,
): { seconds: number; fraction: number } {
  const peak = input.device.peaks[input.dtype];
  const launching = (passes * launchSeconds(input)) / Math.max(1, input.workload.own.length);
  const seconds = Math.max(flops / (peak * input.utilisation), launching);
  return { seconds, fraction: flops / seconds / peak };
}

/** Pairs that a run trains on, repeated ones counted, as those of a rollout that is used again; null where unknown. */
export function runPairs(keys: PlannedKeys, workload: Workload, perStep: number): number | null {
  if (keys.max_steps > 0) return keys.max_steps * perStep;
  const passes = isOnPolicy(keys) ? updatesOf(keys).passes : 1;
  return workload.pairs === null ? null : workload.pairs * keys.num_train_epochs * passes;
}
