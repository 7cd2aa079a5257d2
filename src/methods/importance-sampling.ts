/** The weights that correct for a sampler older than the policy: its ratio to the old log-probs, truncated or masked. */
import { ops, type Tensor } from "../torch/index.ts";
import {
  type CompletionLogps,
  type CompletionObjective,
  type Metric,
  meanOf,
  type ObjectiveResult,
  shareOf,
  sumByCompletion,
} from "./objective.ts";
import { byToken, columnOf, ofCounted, safeLengths } from "./policy-ratio.ts";

/** How the ratio is bounded. Names of the keys as in a configuration. */
export interface ImportanceSampling {
  importance_sampling_mode: "token_truncate" | "token_mask" | "sequence_truncate" | "sequence_mask";
  /** Null: no bound below. */
  importance_sampling_clip_min: number | null;
  /** Null: no bound above. */
  importance_sampling_clip_max: number | null;
}

/** The column of weights, (R), which an objective that can be corrected declares as "token?" and multiplies its tokens' losses by. */
const COLUMN = "importanceWeights";

/** Whether the objective multiplies its losses by `importanceWeights`. */
export function canBeCorrected({ columns = {} }: CompletionObjective): boolean {
  return COLUMN in columns;
}

/**
 * `objective` on completions that an older policy sampled, each token's loss times a weight without gradient:
 *
 *   w_t = exp(old_t − sampler_t),   or for a completion's tokens the product of theirs (`sequence_…`);
 *   `…_truncate`: w in [clip_min, clip_max];   `…_mask`: 0 outside of it.
 *
 * The ratio π / old is bounded by the objective as ever, and its product with w is π / sampler.
 *
 * Paper: Hilton et al. 2021, "Batch size-invariance for policy optimization", arXiv:2110.00641, Eq. (3) (decoupled objective);
 *   truncation: Ionides 2008, "Truncated Importance Sampling". Modes as in TRL 1.16 (`vllm_importance_sampling_mode`).
 *
 * Needs the column `samplerLogps`: log-probs under the distribution that each token was drawn from.
 */
export function corrected(objective: CompletionObjective, options: ImportanceSampling): CompletionObjective {
  return {
    ...objective,
    columns: { ...objective.columns, samplerLogps: "token" },
    evaluate(completions, totals): ObjectiveResult {
      const { weights, metrics } = importanceWeights(completions, options);
      const columns = { ...completions.columns, [COLUMN]: weights };
      const result = objective.evaluate({ ...completions, columns }, totals);
      return { loss: result.loss, metrics: { ...result.metrics, ...metrics } };
    },
  };
}

/** (R) `losses` times the weights of their tokens, where there are any. */
export function weighted(losses: Tensor, { columns }: CompletionLogps): Tensor {
  const weights = columns[COLUMN];
  return weights === undefined ? losses : ops.mul(losses, weights);
}

/** The same for (C), where the weights are those of completions. */
export function weightedByCompletion(losses: Tensor, completions: CompletionLogps): Tensor {
  const weights = completions.columns[COLUMN];
  if (weights === undefined) return losses;
  return ops.mul(losses, ops.div(sumByCompletion(weights, completions), safeLengths(completions)));
}

/** (R) weights, detached, and metrics of them: see `IMPORTANCE_METRICS`. */
function importanceWeights(
  completions: CompletionLogps,
  options: ImportanceSampling,
): { weights: Tensor; metrics: Record<string, Metric> } {
  const old = completions.columns["oldLogps"] ?? ops.detach(completions.logps);
  const log = ops.sub(old, columnOf(completions, "samplerLogps"));
  const isOfSequences = options.importance_sampling_mode.startsWith("sequence");
  const ratio = ops.exp(isOfSequences ? sumByCompletion(log, completions) : log);
  const bounded = bound(ratio, options);
  return {
    weights: isOfSequences ? byToken(bounded.ratio, completions) : bounded.ratio,
    metrics: metricsOf(isOfSequences ? boundedOfCounted(bounded, completions) : bounded),
  };
}

interface Bounded {
  ratio: Tensor;
  /** Whether each was outside of the bounds. */
  isOutside: Tensor;
}

function bound(ratio: Tensor, options: ImportanceSampling): Bounded {
  const mode = options.importance_sampling_mode;
  const low = options.importance_sampling_clip_min ?? 0;
  const high = options.importance_sampling_clip_max ?? Number.POSITIVE_INFINITY;
  const isOutside = ops.logicalNot(ops.logicalAnd(ops.ge(ratio, low), ops.le(ratio, high)));
  return {
    isOutside,
    ratio: mode.endsWith("truncate") ? ops.clamp(ratio, low, high) : ops.maskedFill(ratio, isOutside, 0),
  };
}

function boundedOfCounted({ ratio, isOutside }: Bounded, completions: CompletionLogps): Bounded {
  const [counted = ratio, outside = isOutside] = ofCounted([ratio, isOutside], completions);
  return { ratio: counted, isOutside: outside };
}

function metricsOf({ ratio, isOutside }: Bounded): Record<string, Metric> {
  if (ratio.numel === 0) return {};
  const [least, greatest] = ops.aminmax(ratio);
  return {
    "sampling/importance_sampling_ratio/mean": meanOf(ratio),
    "sampling/importance_sampling_ratio/min": { sum: least, count: 1, extreme: "min" },
    "sampling/importance_sampling_ratio/max": { sum: greatest, count: 1, extreme: "max" },
    "sampling/importance_sampling_ratio/frac_bounded": shareOf(isOutside),
  };
}
