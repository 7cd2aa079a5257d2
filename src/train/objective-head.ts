/** What an objective is computed from: the head that its model has, log-probs of tokens or a score for each completion. */
import { ConfigError } from "../base/errors.ts";
import {
  allCompletions,
  type CompletionSlice,
  completionSlices,
  type DeviceBatch,
} from "../forward/batch.ts";
import { type Head, tokenLogpsHead, valueHead } from "../forward/head.ts";
import { HeadMatrix } from "../forward/head-matrix.ts";
import type { Numerics } from "../forward/numerics.ts";
import { keptRows } from "../forward/token-logps.ts";
import type { BatchCounts, Metric, Objective } from "../methods/objective.ts";
import { CausalLM, type Decoder } from "../models/causal-lm.ts";
import { RewardModel } from "../models/reward-model.ts";
import type { ParameterSet } from "../nn/parameter-set.ts";
import type { Tensor } from "../torch/index.ts";
import { tokenStatistics } from "./metric-tally.ts";

/** What a head gives for a slice of a batch. */
export interface ObjectiveValues {
  /** Log-probs or values of tokens, (R), or scores of completions, (C); float32 */
  values: Tensor;
  /** (R) float32, nats; null where they are not measured. */
  entropies: Tensor | null;
  /** (R) float32: log Σ_v π(v)²; null where the objective does without. */
  logSquares: Tensor | null;
  /** Metrics of the pass itself. */
  statistics(counts: BatchCounts): Record<string, Metric>;
}

/** How the head computes. */
export interface ObjectiveHeadOptions extends Numerics {
  /** Also measure entropies of tokens; they have a gradient where the objective takes them. */
  entropies: boolean;
}

/**
 * The head of `model` that `objective` takes.
 *
 * @throws {ConfigError} if the model has another head
 */
export function objectiveHead(
  model: Decoder,
  objective: Objective,
  options: ObjectiveHeadOptions,
): Head<ObjectiveValues> {
  const { name, over } = objective;
  if (over === "scores" || ("takesValues" in objective && objective.takesValues === true)) {
    if (!(model instanceof RewardModel)) throw otherHead(name, "a reward model, which has a score layer");
    const head = valueHead(model.score);
    return (...given) => ({ ...head(...given), entropies: null, logSquares: null, statistics: () => ({}) });
  }
  const takesEntropies = "takesEntropies" in objective && objective.takesEntropies === true;
  const entropies = takesEntropies ? "with gradient" : options.entropies;
  const logSquares = objective.takesLogSquares ?? false;
  const head = tokenLogpsHead(requireLanguageModel(model, name), { ...options, entropies, logSquares });
  return (hidden, slice, trained) => {
    const { backward, ...pass } = head(hidden, slice, trained);
    return {
      values: pass.logps,
      entropies: pass.entropies,
      logSquares: pass.logSquares,
      backward,
      statistics: (counts) => tokenStatistics(pass, slice, { over, counts }),
    };
  };
}

/** `model` as a language model. @throws {ConfigError} if it is none: it gives scores, no tokens and no log-probs */
export function requireLanguageModel(model: Decoder, what: string): CausalLM {
  if (model instanceof CausalLM) return model;
  throw otherHead(what, "a language model, which gives log-probs of tokens");
}

function otherHead(what: string, expected: string): ConfigError {
  return new ConfigError(`${what} needs ${expected}; this model has another head.`);
}

/** What decides in which slices a head takes a batch. */
interface Sliced {
  model: Decoder;
  numerics: Numerics;
  parameters: ParameterSet;
  objective: Objective;
}

/**
 * The slices of `batch` whose probabilities a trained head can keep at once; all of it where nothing is kept, it is needed whole, or
 * ranks pass the head's matrix by ranges: once for a micro-batch, whatever its rows are.
 */
export function headSlices(
  batch: DeviceBatch,
  { model, numerics, parameters, objective }: Sliced,
): CompletionSlice[] {
  const isFrozen = !(model instanceof CausalLM && parameters.trains(model.lm_head));
  if (isFrozen || objective.needsWholeMicroBatch === true) return [allCompletions(batch)];
  const { weight, ranges } = new HeadMatrix(model.lm_head.weight, model.residence);
  if (ranges.length > 1) return [allCompletions(batch)];
  return completionSlices(batch, keptRows(weight, numerics.logits_kept_mib ?? null));
}
