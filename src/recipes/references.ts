/** Choosing where a run's reference log-probs come from: the rows, the adapter switched off, or a pass before training. */

import type { PhaseListener } from "../base/phase-listener.ts";
import { alone, onFirst } from "../base/ranks.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Example } from "../data/example.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { modelDigest } from "../formats/model-fingerprint.ts";
import { askedQuantisation } from "../formats/quantisation.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import { needsReference, type Objective } from "../methods/objective.ts";
import type { Decoder } from "../models/causal-lm.ts";
import { type Fingerprints, runPaths } from "../runs/run-directory.ts";
import type { DType } from "../torch/index.ts";
import type { ReferenceSource } from "../train/completion-logps.ts";
import { requireLanguageModel } from "../train/objective-head.ts";
import type { TrainedModel } from "../train/prepare-model.ts";
import {
  givenReference,
  liveReference,
  precomputeReference,
  referenceFrom,
  referencePass,
} from "../train/reference.ts";
import { precomputeTokens } from "../train/reference-tokens.ts";
import { evaluationBatches, packingOf } from "../train/step-source.ts";

/** What the reference is computed with. */
export interface ReferenceOptions {
  config: RunConfig;
  objective: Objective;
  trained: TrainedModel<Decoder>;
  numerics: Numerics;
  fingerprints: Fingerprints;
  runDir: string;
  onPhase: PhaseListener;
  /** The ranks that share a pass of the reference; null: this process is the only one. */
  group: RankGroup | null;
}

/** Tells the reference of training and of evaluation examples apart: their indices overlap. */
export interface References {
  train: ReferenceSource | null;
  evaluation: ReferenceSource | null;
}

/** What the user should know of how a run's reference is computed. */
export function referenceNotes(config: RunConfig, dtype: DType): string[] {
  const { method, precompute_ref_log_probs: isBefore } = config;
  const isLifted = "lambda_start" in method && method.lambda_start > 0 && !isOnPolicy(config);
  if (!isLifted || !isBefore || dtype === "float32") return [];
  const live = config.use_peft
    ? ", or precompute_ref_log_probs: false, which computes the start in the very batch"
    : "";
  return [
    `lambda_start lifts a chosen token that is 0.001 nats below its start, and in ${dtype} another batch alone moves tokens by more (by 0.006 nats in the ` +
      `median of a measurement, docs/objectives.md): some are lifted that only rounding moved. Where that matters set dtype: float32${live}.`,
  ];
}

/**
 * The reference log-probs a run needs, computed before any weight changes; none for objectives without a reference.
 *
 * Rows that provide reference log-probs are trusted. An adapter that starts from zero is switched off (live or precomputed, as
 * configured); otherwise the model as it starts is the reference, and its log-probs are computed once.
 */
export function referencesOf(options: ReferenceOptions, { examples, evalExamples }: Dataset): References {
  // on-policy it scores completions as they are sampled
  if (isOnPolicy(options.config) || !needsReference(options.objective))
    return { train: null, evaluation: null };
  return {
    train: sourceFor(options, { examples, split: "train" }),
    evaluation:
      evalExamples === null ? null : sourceFor(options, { examples: evalExamples, split: "evaluation" }),
  };
}

/** Rows whose sums under the reference are wanted. */
export interface ReferenceRows {
  examples: readonly Example[];
  /** Which rows they are, in words. */
  split: string;
  /** What else decides which rows they are. */
  key?: string;
  /** In which batches they are computed; left out: in their order. */
  batches?: () => readonly MicroBatch[];
}

/** What tells the base model from others: in the run's own directory its fingerprint, where other runs' may lie all of its weights. */
function weightsOf({ config, fingerprints, group, onPhase }: ReferenceOptions): string {
  if (config.reference_cache_dir === null) return fingerprints.model;
  return onFirst(group ?? alone, () => modelDigest(config.model_name_or_path, onPhase));
}

/** Sums of rows under the reference: given, live, or computed now. */
export function sourceFor(
  options: ReferenceOptions,
  { examples, split, key: ofRows, batches }: ReferenceRows,
): ReferenceSource {
  const { config, trained, numerics, fingerprints } = options;
  const pass = referencePass(options.objective, numerics);
  const given = givenReference(examples, pass);
  if (given !== null) return referenceFrom(given);
  const model = requireLanguageModel(trained.model, "a reference");
  const { ldAlpha } = pass;
  const startsAtZero = trained.adapter !== null && config.adapter_name_or_path === null;
  if (startsAtZero && trained.adapter !== null && !config.precompute_ref_log_probs) {
    return liveReference(model, trained.adapter, pass);
  }
  const quantise = askedQuantisation(config);
  const key = [
    // the name of the form; in the run's own directory the older one: a run that began with it finds what it kept
    config.reference_cache_dir === null ? "reference-1" : "reference-2",
    split,
    weightsOf(options),
    // not its path: another adapter may lie there by then
    fingerprints.adapter ?? "",
    fingerprints.data["rows"] ?? "",
    fingerprints.template ?? "",
    numerics.dtype,
    // left out where there is none: caches of floats stay valid
    ...(quantise === null ? [] : [JSON.stringify(quantise)]),
    ...(ldAlpha === null ? [] : [`ld_alpha ${ldAlpha}`]),
    ...(pass.tokens === true ? ["tokens"] : []),
    ...(ofRows === undefined ? [] : [ofRows]),
  ];
  const own =
    batches?.() ?? evaluationBatches(examples, { ...config, joins: packingOf(options.objective).joins });
  const rows = {
    ...pass,
    examples,
    over: options.objective.over,
    cache: { dir: config.reference_cache_dir ?? runPaths(options.runDir).reference, key },
    group: options.group,
    progress: (done: number) => options.onPhase(`reference log-probs (${split})`, done, examples.length),
  };
  return pass.tokens === true
    ? precomputeTokens(model, own, rows)
    : referenceFrom(precomputeReference(model, own, rows));
}
