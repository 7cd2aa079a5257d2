/** What `final_scale: auto` takes at the end of a run: passes over the held-out rows at each scale. */
import { FINAL_SCALES } from "../config/final-scale-checks.ts";
import { pairFlops } from "./flops.ts";
import type { ScalesSize } from "./memory.ts";
import type { PlanInput, PlannedKeys, Workload } from "./plan-input.ts";
import { forwardShare, pairTime } from "./plan-time.ts";

/** The passes of a run that chooses its scale. */
export interface FinalScalePlan {
  scales: number;
  /** Held-out rows; null where unknown. */
  rows: number | null;
  /** FLOPs of all passes, and their seconds on one device; null where the rows are unknown. */
  flops: number | null;
  seconds: number | null;
  /** Bytes of a rank while they are measured. */
  memoryBytes: number;
}

/** What memory depends on; null where no scale is chosen. */
export function scalesSize(
  { final_scale, per_device_eval_batch_size: size }: PlannedKeys,
  { held, microBatch }: Workload,
): ScalesSize | null {
  if (final_scale !== "auto") return null;
  const batch = held?.batch(size) ?? microBatch(size);
  return { count: FINAL_SCALES.length, batch, tokens: held?.answerTokens ?? 0 };
}

/** The plan of the passes. Mixing weights and answering two prompts at each scale are not counted. */
export function finalScalePlan(input: PlanInput, memoryBytes: number): FinalScalePlan {
  const { model, trained, keys, workload } = input;
  const scales = FINAL_SCALES.length;
  const { held = null } = workload;
  if (held === null) return { scales, rows: null, flops: null, seconds: null, memoryBytes };
  const { share_prompt, per_device_eval_batch_size: size } = keys;
  const { forward } = pairFlops(model, held.mean, { trained, share_prompt, recomputed: 0 });
  const evaluated = { ...input, workload: { ...workload, own: held.batch(size) } };
  const { seconds } = pairTime(forward, evaluated, forwardShare);
  const passes = scales * held.rows;
  return { scales, rows: held.rows, flops: passes * forward, seconds: passes * seconds, memoryBytes };
}
