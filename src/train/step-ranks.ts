/** What the ranks of a run do together in a step: gradients are added up, and all decide from the numbers of all. */
import { at } from "../base/at.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import type { ParameterSet } from "../nn/parameter-set.ts";
import type { ShardedModel } from "../sharding/sharded-model.ts";
import { noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import { addSums, type MetricSums } from "./metric-tally.ts";
import type { RankMeter } from "./rank-meter.ts";

/** The ranks of a run. */
export interface StepRanks {
  group: RankGroup;
  /** The model, where each rank holds a part of it; null where each has all of it. */
  sharded: ShardedModel | null;
  /** The ranks that update the same numbers as this one, each by the gradients of all; null where no other does. */
  replicas: RankGroup | null;
  /** Ranks of `group` that have each number's gradient once: the norm is theirs. */
  sharers: readonly number[];
  meter: RankMeter;
}

/** What of them writes and reads a model. */
export type HoldingRanks = Pick<StepRanks, "group" | "sharded" | "sharers">;

/** What a rank found in a step, for its rows. */
export interface RankOutcome {
  loss: number;
  /** Σ g² of the gradients that this rank updates by. */
  squares: number;
  sums: MetricSums;
  /** Whether it was asked to stop. */
  stops: boolean;
  /** Seconds that it took. */
  seconds: number;
}

/** Makes the gradients those of all ranks' rows: each rank has them for what it updates. */
export function finishGradients({ sharded, replicas }: StepRanks, parameters: ParameterSet): void {
  sharded?.finishGradients();
  if (replicas !== null) addUp(replicas, parameters.grads());
}

/** Bytes of small tensors that are added up by one collective, and from which one is added up alone: it need not be copied. */
const bucketBytes = 32 * 2 ** 20;
const aloneBytes = 2 ** 20;

/** Adds the gradients of all ranks up, small ones together. All ranks have the same tensors. */
function addUp(group: RankGroup, grads: readonly Tensor[]): void {
  for (const bucket of bucketsOf(grads)) {
    using _ = scope();
    noGrad(() => {
      if (bucket.length === 1) return group.allReduce(at(bucket, 0), "gradients").wait();
      const flat = ops.cat(bucket.map((grad) => ops.reshape(grad, [grad.numel])));
      group.allReduce(flat, "gradients").wait();
      let place = 0;
      for (const grad of bucket) {
        ops.copy_(grad, ops.view(ops.narrow(flat, 0, place, grad.numel), grad.shape));
        place += grad.numel;
      }
    });
  }
}

function bucketsOf(grads: readonly Tensor[]): Tensor[][] {
  const isLarge = (grad: Tensor): boolean => 4 * grad.numel >= aloneBytes;
  const buckets: Tensor[][] = [];
  let filled = Number.POSITIVE_INFINITY;
  for (const grad of grads.filter((one) => !isLarge(one))) {
    const bytes = 4 * grad.numel;
    if (filled + bytes > bucketBytes) {
      buckets.push([]);
      filled = 0;
    }
    buckets.at(-1)?.push(grad);
    filled += bytes;
  }
  return [...grads.filter(isLarge).map((grad) => [grad]), ...buckets];
}

/** A step's loss, gradient norm and metrics from those of all ranks, summed in their order: the same on each. */
export function sharedOutcome(
  { group, sharers, meter }: StepRanks,
  own: RankOutcome,
): { values: { loss: number; gradNorm: number }; sums: MetricSums; stops: boolean } {
  const all = group.gather({ ...own, usage: meter.take() });
  meter.add(
    all.map(({ usage }) => usage),
    Math.max(...all.map(({ seconds }) => seconds)),
    meter.take().sent,
  );
  const sums: MetricSums = {};
  for (const outcome of all) addSums(sums, outcome.sums);
  const total = (of: readonly RankOutcome[], key: "loss" | "squares") =>
    of.reduce((sum, outcome) => sum + outcome[key], 0);
  const squares = total(
    sharers.map((rank) => at(all, rank)),
    "squares",
  );
  const values = { loss: total(all, "loss"), gradNorm: Math.sqrt(squares) };
  return { values, sums, stops: all.some(({ stops }) => stops) };
}
