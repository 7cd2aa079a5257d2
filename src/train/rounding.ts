/**
 * What rounding weights to a half type does to log-probs by itself, so that an exported model's difference can be distinguished from
 * a fault: the weights that the type cannot hold are moved at random by as much as rounding moves them.
 */
import type { WeightDtype } from "../formats/model-config.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import type { Decoder } from "../models/causal-lm.ts";
import { type Collect, inMemory, mergedTensors } from "../models/save.ts";
import type { LogpDifference } from "../runs/train-events.ts";
import { Collector } from "../sharding/collect.ts";
import type { ShardedModel } from "../sharding/sharded-model.ts";
import { noGrad, ops, scope, seeded, type Tensor } from "../torch/index.ts";
import { loadSharded } from "./load-sharded.ts";
import { differenceOf, type HeadedModel, loadLike, outputsOf } from "./logp-difference.ts";
import { modelParameters } from "./parameters.ts";
import type { HoldingRanks } from "./step-ranks.ts";

/** Bits of the stored fraction, and the smallest normal number: below it steps stay the same. */
const forms: Readonly<Record<WeightDtype, { fraction: number; smallest: number }>> = {
  float32: { fraction: 23, smallest: 2 ** -126 },
  float16: { fraction: 10, smallest: 2 ** -14 },
  bfloat16: { fraction: 7, smallest: 2 ** -126 },
};

/** Mean of 1/m over numbers m · 2^e of which the fractions m are spread evenly over 1 to 2. */
const meanStep = Math.LN2;

/**
 * Names of the tensors of `model`, adapter merged, that hold numbers which `dtype` does not have.
 *
 * @param collect - where the model is in parts, of which all ranks ask
 */
export function roundedTensors(model: Decoder, dtype: WeightDtype, collect: Collect = inMemory): Set<string> {
  const names = new Set<string>();
  for (const tensor of mergedTensors(model)) {
    for (const read of collect(tensor)) if (isRounded(read, dtype)) names.add(tensor.name);
  }
  return names;
}

function isRounded(read: () => Tensor, dtype: WeightDtype): boolean {
  using _ = scope();
  return noGrad(() => {
    const exact = ops.to(read(), "float32");
    const change = ops.sub(exact, ops.to(ops.to(exact, dtype), "float32"));
    return ops.aminmax(change).some((extreme) => extreme.item() !== 0);
  });
}

/** Moves each of these weights (float32) at random by up to half a step of `dtype`. */
function moveByRounding(weights: Iterable<Tensor>, dtype: WeightDtype): void {
  const { fraction, smallest } = forms[dtype];
  const half = (meanStep * 2 ** -fraction) / 2;
  for (const tensor of weights) {
    using _ = scope();
    noGrad(() => {
      const weight = ops.detach(tensor);
      const size = ops.sub(ops.clamp(weight, smallest), ops.clamp(weight, null, -smallest));
      const share = ops.uniform_(ops.zerosLike(weight), -half, half);
      ops.add_(weight, ops.mul(size, share));
    });
  }
}

/** What is scored, and with which model before it was written. */
export interface RoundingCheck {
  model: HeadedModel;
  batches: readonly MicroBatch[];
  numerics: Numerics;
  /** The type that the files have. */
  dtype: WeightDtype;
  /** The ranks that have the model; null or left out: this process alone. */
  ranks?: HoldingRanks | null | undefined;
}

/** How far the log-probs of the written model in `directory` move when its rounded weights do. */
export function roundingNoise(
  directory: string,
  { model, dtype, ranks = null, ...scored }: RoundingCheck,
): LogpDifference {
  using _ = scope();
  const { device } = model;
  if (ranks?.sharded) {
    const { sharded } = ranks;
    using written = loadSharded(directory, { device, dtype: "float32", adapter: null }, sharded.group);
    using collector = new Collector(sharded, ranks.group);
    const names = roundedTensors(model, dtype, collector.collect);
    const before = outputsOf(written.model, scored);
    seeded(1, () => moveByRounding(heldOf(written.sharded, names), dtype));
    return differenceOf(before, outputsOf(written.model, scored));
  }
  const written = loadLike(model, directory, { device, dtype: "float32", copy: true });
  return noiseOf(written, roundedTensors(model, dtype), { dtype, ...scored });
}

/** How far the log-probs of `written` (float32, of separate memory, moved for good) go when its weights of these names do. */
export function noiseOf(
  written: HeadedModel,
  names: ReadonlySet<string>,
  { dtype, ...scored }: Pick<RoundingCheck, "batches" | "numerics" | "dtype">,
): LogpDifference {
  const before = outputsOf(written, scored);
  const weights = modelParameters(written).filter(({ name }) => names.has(name));
  seeded(1, () => {
    moveByRounding(
      weights.map(({ tensor }) => tensor),
      dtype,
    );
  });
  return differenceOf(before, outputsOf(written, scored));
}

/** What this rank holds of the named tensors. */
function* heldOf(sharded: ShardedModel, names: ReadonlySet<string>): Generator<Tensor> {
  for (const unit of sharded.units) {
    for (const piece of unit.pieces) if (names.has(piece.segment.name)) yield unit.held(piece);
  }
}

/** Largest mean difference that rounding explains: three times what it does by chance, and the tolerance. */
export function allowedMean({ meanDifference }: LogpDifference, tolerance: number): number {
  return 3 * meanDifference + tolerance;
}
