/** Direct preference optimisation and its relatives: forms of a loss on log-ratios to a reference, one or a sum of several. */

import { ShapeError } from "../../base/errors.ts";
import { ops, type Tensor } from "../../torch/index.ts";
import {
  byWeight,
  type Metric,
  meanOf,
  type ObjectiveResult,
  type PairLogps,
  type PairObjective,
  pairMetrics,
  type StepTotals,
} from "../objective.ts";
import { type DpoLossType, type DpoOptions, lossTypesOf } from "./settings.ts";

/**
 * The DPO objective over preference pairs.
 *
 * Paper: Rafailov et al. 2023, arXiv:2305.18290, Eq. (7)
 *   L = −log σ( β [(log π(y_w|x) − log ref(y_w|x)) − (log π(y_l|x) − log ref(y_l|x))] )
 * Papers of the other forms: at each in `FORMS`. A list of forms is their weighted sum, each a mean over its pairs (`sft`: tokens).
 * Paper: Liu et al. 2024, arXiv:2409.06411, for `ld_alpha`: tokens beyond the shorter answer count α.
 * Paper: Zhou et al. 2024, arXiv:2406.11827, for `use_weighting`: each pair's loss times w(y_w) w(y_l), with
 *   w(y) = exp( mean over tokens of log π(y_t) − log Σ_v π(v)² ), through which no gradient goes.
 * Differs: label smoothing is not in Eq. (7); 0 by default. IPO's h is taken per token (each completion's log-ratio divided
 *   by its length), as TRL does. The mean of `sft` is over the tokens of the step; it is no preference, and not weighted.
 * Numerics: sums over completion tokens; log σ by torch's `log_sigmoid`, never log(sigmoid).
 *
 * Metrics: `rewards/*` are β (log π − log ref), sums over tokens; of a list `loss/NAME` is each part before its weight.
 */
export function dpo(options: DpoOptions): PairObjective {
  return {
    name: "dpo",
    over: "pairs",
    columns: { referenceLogps: "completion" },
    ld_alpha: options.ld_alpha === 1 ? null : (options.ld_alpha ?? null),
    takesLogSquares: options.use_weighting === true,
    evaluate: (pairs, totals) => evaluate(pairs, totals, options),
  };
}

/** What a form is made of, (P) each. */
export interface LogRatios {
  /** log π − log ref, sums over tokens. */
  chosen: Tensor;
  rejected: Tensor;
  /** Their difference. */
  difference: Tensor;
}

/**
 * The log-ratios of the pairs.
 *
 * @throws {ShapeError} without log-probs of a reference
 */
export function logRatios(name: string, pairs: PairLogps): LogRatios {
  const { referenceChosenLogps, referenceRejectedLogps } = pairs;
  if (referenceChosenLogps === null || referenceRejectedLogps === null) {
    throw new ShapeError(`${name} needs reference log-probs of both completions and got none`);
  }
  const chosen = ops.sub(pairs.chosenLogps, referenceChosenLogps);
  const rejected = ops.sub(pairs.rejectedLogps, referenceRejectedLogps);
  return { chosen, rejected, difference: ops.sub(chosen, rejected) };
}

function evaluate(pairs: PairLogps, totals: StepTotals, options: DpoOptions): ObjectiveResult {
  const { beta, loss_weights = null } = options;
  const ratios = logRatios("dpo", pairs);
  const weight = options.use_weighting === true ? pairWeights(pairs) : null;
  const types = lossTypesOf(options);
  const metrics: Record<string, Metric> = pairMetrics(
    pairs,
    ops.mul(ratios.chosen, beta),
    ops.mul(ratios.rejected, beta),
  );
  if (weight !== null) metrics["wpo/weight"] = meanOf(weight);
  const parts = types.map((type, i) => {
    const part = partOf(type, { pairs, ratios, weight }, totals, options);
    if (types.length > 1) metrics[`loss/${type}`] = meanOf(part.sum, part.micro);
    return ops.mul(part.sum, (loss_weights?.[i] ?? 1) / part.step);
  });
  return { loss: parts.reduce((sum, part) => ops.add(sum, part)), metrics };
}

/** Pairs, and what was made of them. */
interface Given {
  pairs: PairLogps;
  ratios: LogRatios;
  /** (P) of `use_weighting`; null without. */
  weight: Tensor | null;
}

/** A part's sum, and what it is a mean over: pairs or tokens, of the step and of what is at hand. */
interface Part {
  sum: Tensor;
  step: number;
  micro: number;
}

function partOf(
  type: DpoLossType,
  { pairs, ratios, weight }: Given,
  totals: StepTotals,
  options: DpoOptions,
): Part {
  const { micro } = totals;
  if (type === "sft") {
    const sum = ops.neg(ops.sum(ops.mul(pairs.chosenMeanLogps, pairs.chosenLengths)));
    return { sum, step: totals.tokensByRole.chosen, micro: micro.tokensByRole.chosen };
  }
  const losses = FORMS[type]({
    ...ratios,
    pairs,
    beta: options.beta,
    label_smoothing: options.label_smoothing,
  });
  const weighted = weight === null ? losses : ops.mul(losses, weight);
  return { sum: ops.sum(byWeight(weighted, pairs)), step: totals.groups, micro: micro.groups };
}

interface FormInput extends LogRatios {
  pairs: PairLogps;
  beta: number;
  label_smoothing: number;
}

/** Loss of each pair, (P), by form. */
const FORMS: Readonly<Record<Exclude<DpoLossType, "sft">, (input: FormInput) => Tensor>> = {
  sigmoid: ({ difference, beta, label_smoothing }) =>
    sigmoidLosses(ops.mul(difference, beta), label_smoothing),
  // Paper: Lambert et al. 2024, "Tülu 3", arXiv:2411.15124: log-ratios per token
  sigmoid_norm: (input) => sigmoidLosses(ops.mul(perToken(input), input.beta), input.label_smoothing),
  // Paper: Azar et al. 2023, arXiv:2310.12036, Eq. (17): (h − 1/(2β))²
  ipo: (input) => ops.pow(ops.sub(perToken(input), 1 / (2 * input.beta)), 2),
  // Paper: Zhao et al. 2023, "SLiC-HF", arXiv:2305.10425, Eq. (1), on log-ratios as Liu et al. 2023, arXiv:2309.06657
  hinge: ({ difference, beta }) => ops.relu(ops.sub(1, ops.mul(difference, beta))),
  // Paper: Chowdhury et al. 2024, arXiv:2403.00409: unbiased where labels are wrong with probability ε
  robust: ({ difference, beta, label_smoothing: e }) => {
    const z = ops.mul(difference, beta);
    const right = ops.mul(ops.logSigmoid(z), (e - 1) / (1 - 2 * e));
    return ops.add(right, ops.mul(ops.logSigmoid(ops.neg(z)), e / (1 - 2 * e)));
  },
  // Paper: Jung et al. 2024, "BCO", arXiv:2404.04656; without its running mean, as in TRL
  bco_pair: ({ chosen, rejected, beta }) =>
    ops.neg(ops.add(ops.logSigmoid(ops.mul(chosen, beta)), ops.logSigmoid(ops.mul(rejected, -beta)))),
  // Paper: Chen et al. 2024, "NCA", arXiv:2402.05369, for two answers
  nca_pair: ({ chosen, rejected, beta }) => {
    const down = ops.add(ops.logSigmoid(ops.mul(chosen, -beta)), ops.logSigmoid(ops.mul(rejected, -beta)));
    return ops.neg(ops.add(ops.logSigmoid(ops.mul(chosen, beta)), ops.mul(down, 0.5)));
  },
  // Paper: D'Oosterlinck et al. 2024, "APO", arXiv:2408.06266: chosen up, rejected down
  apo_zero: ({ chosen, rejected, beta }) =>
    ops.add(ops.sigmoid(ops.mul(chosen, -beta)), ops.sigmoid(ops.mul(rejected, beta))),
  // the same paper: both down, rejected more
  apo_down: ({ chosen, difference, beta }) =>
    ops.add(ops.sigmoid(ops.mul(chosen, beta)), ops.sigmoid(ops.mul(difference, -beta))),
};

function perToken({ chosen, rejected, pairs }: FormInput): Tensor {
  return ops.sub(ops.div(chosen, pairs.chosenLengths), ops.div(rejected, pairs.rejectedLengths));
}

/** −(1 − ε) log σ(z) − ε log σ(−z), per pair. Other methods have the form on other log-probs. */
export function sigmoidLosses(z: Tensor, labelSmoothing: number): Tensor {
  const right = ops.mul(ops.logSigmoid(z), -(1 - labelSmoothing));
  if (labelSmoothing === 0) return right;
  return ops.sub(right, ops.mul(ops.logSigmoid(ops.neg(z)), labelSmoothing));
}

/** w(y_w) w(y_l) of each pair, (P), without a gradient. */
function pairWeights(pairs: PairLogps): Tensor {
  const { chosenLogSquares, rejectedLogSquares } = pairs;
  if (chosenLogSquares === null || rejectedLogSquares === null) {
    throw new ShapeError("use_weighting needs log Σ π² of the tokens and got none");
  }
  const likelihood = ops.add(pairs.chosenMeanLogps, pairs.rejectedMeanLogps);
  const own = ops.add(
    ops.div(chosenLogSquares, pairs.chosenLengths),
    ops.div(rejectedLogSquares, pairs.rejectedLengths),
  );
  return ops.detach(ops.exp(ops.sub(likelihood, own)));
}
