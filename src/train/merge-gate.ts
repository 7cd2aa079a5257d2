/** The gate of a merged model: whether its files score as base and adapter do, and what its difference is made of. */
import { FormatError } from "../base/errors.ts";
import type { WeightDtype } from "../formats/model-config.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import type { LogpDifference } from "../runs/train-events.ts";
import { scope } from "../torch/index.ts";
import {
  differenceOf,
  differenceText,
  type HeadedModel,
  kindOf,
  loadLike,
  outputsOf,
} from "./logp-difference.ts";
import { allowedMean, roundingNoise } from "./rounding.ts";

/** What is compared with the files. */
export interface MergeGate {
  /** Base with what was trained in it, float32. */
  model: HeadedModel;
  /** What `score` gives of the base alone. */
  ofBase: (score: (model: HeadedModel) => Float32Array[]) => Float32Array[];
  batches: readonly MicroBatch[];
  dtype: WeightDtype;
  /** Largest difference of a float32 export, nats. */
  tolerance: number;
  /** What the files will be called, for messages. */
  output: string;
}

/** What was measured. */
export interface MergeMeasure extends LogpDifference {
  /** Mean change of a token's log-prob that the adapter makes, nats. */
  adapterEffect: number;
  /** What rounding to the written type does by chance; null for float32, which is held to the tolerance. */
  rounding: LogpDifference | null;
}

/**
 * Scores the gate's rows with exactly the files in `directory`.
 *
 * A float32 export must agree within the tolerance. A half type's mean difference must stay within three times that of the
 * same files with the rounded weights moved at random by as much as rounding moves them.
 *
 * @throws {FormatError} with the figures if they differ more
 */
export function checkMerged(directory: string, gate: MergeGate): MergeMeasure {
  using _ = scope();
  const { model, ofBase, batches, dtype, tolerance, output } = gate;
  const numerics: Numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null };
  const score = (of: HeadedModel) => outputsOf(of, { batches, numerics });
  const want = score(model);
  const base = ofBase(score);
  const exported = loadLike(model, directory, { device: model.device, dtype: "float32" });
  const difference = differenceOf(want, score(exported));
  const rounding = dtype === "float32" ? null : roundingNoise(directory, { model, batches, numerics, dtype });
  const isFine =
    rounding === null
      ? difference.maxDifference <= tolerance
      : difference.meanDifference <= allowedMean(rounding, tolerance);
  const adapterEffect = differenceOf(want, base).meanDifference;
  if (isFine) return { ...difference, ...kindOf(model), adapterEffect, rounding };
  const allowed =
    rounding === null
      ? `${tolerance} is allowed`
      : `rounding to ${dtype} by itself makes a mean of ${rounding.meanDifference.toExponential(2)}`;
  throw new FormatError(
    `${output}: the merged model does not score rows as base and adapter do: ${differenceText(model, difference)}, ` +
      `${allowed}. It was not written; what was there is as it was.`,
  );
}
