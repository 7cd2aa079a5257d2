/** What the ranks of a run do together in a step: gradients are added up, and all decide from the numbers of all. */
import { at } from "../base/at.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import type { ParameterSet } from "../nn/parameter-set.ts";
import type { ShardedModel } from "../sharding/sharded-model.ts";
import { noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import { addSums, type MetricSums } from "./metric-tally.ts";

/** The ranks of a run. */
export interface StepRanks {
  group: RankGroup;
  /** The model, where each rank holds a part of it; null where each has all of it. */
  sharded: ShardedModel | null;
}

/** What a rank found in a step, for its rows. */
export interface RankOutcome {
  loss: number;
  /** Σ g² of the gradients that this rank updates by. */
  squares: number;
  sums: MetricSums;
  /** Whether it was asked to stop. */
  stops: boolean;
}

/** Makes the gradients those of all ranks' rows: each rank has them for what it updates. */
export function finishGradients({ group, sharded }: StepRanks, parameters: ParameterSet): void {
  if (sharded === null) addUp(group, parameters.grads());
  else sharded.finishGradients();
}

/** Bytes that are added up by one collective. */
const bucketBytes = 32 * 2 ** 20;

/** Adds the gradients of all ranks up, small ones together. All ranks have the same tensors. */
function addUp(group: RankGroup, grads: readonly Tensor[]): void {
  for (const bucket of bucketsOf(grads)) {
    using _ = scope();
    noGrad(() => {
      if (bucket.length === 1) return group.allReduce(at(bucket, 0)).wait();
      const flat = ops.cat(bucket.map((grad) => ops.reshape(grad, [grad.numel])));
      group.allReduce(flat).wait();
      let place = 0;
      for (const grad of bucket) {
        ops.copy_(grad, ops.view(ops.narrow(flat, 0, place, grad.numel), grad.shape));
        place += grad.numel;
      }
    });
  }
}

function bucketsOf(grads: readonly Tensor[]): Tensor[][] {
  const buckets: Tensor[][] = [];
  let filled = Number.POSITIVE_INFINITY;
  for (const grad of grads) {
    const bytes = 4 * grad.numel;
    if (filled + bytes > bucketBytes) {
      buckets.push([]);
      filled = 0;
    }
    buckets.at(-1)?.push(grad);
    filled += bytes;
  }
  return buckets;
}

/** A step's loss, gradient norm and metrics from those of all ranks, summed in their order: the same on each. */
export function sharedOutcome(
  { group, sharded }: StepRanks,
  own: RankOutcome,
): { values: { loss: number; gradNorm: number }; sums: MetricSums; stops: boolean } {
  const all = group.gather(own);
  const sums: MetricSums = {};
  for (const outcome of all) addSums(sums, outcome.sums);
  const total = (of: readonly RankOutcome[], key: "loss" | "squares") =>
    of.reduce((sum, outcome) => sum + outcome[key], 0);
  // where each rank has all gradients, those of one are the norm's
  const squares = total(sharded === null ? all.slice(0, 1) : all, "squares");
  const values = { loss: total(all, "loss"), gradNorm: Math.sqrt(squares) };
  return { values, sums, stops: all.some(({ stops }) => stops) };
}
