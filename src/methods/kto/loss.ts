/** Kahneman-Tversky optimisation: answers with a thumb up or down, each compared with how far the model has moved in general. */
import { ops, type Tensor } from "../../torch/index.ts";
import {
  type CompletionLogps,
  type CompletionObjective,
  type Metric,
  meanOf,
  type ObjectiveResult,
  type StepTotals,
  sumByCompletion,
} from "../objective.ts";
import { columnOf } from "../policy-ratio.ts";
import type { KtoOptions } from "./settings.ts";

/**
 * The KTO objective over single completions with labels.
 *
 * Paper: Ethayarajh et al. 2024, "KTO: Model Alignment as Prospect Theoretic Optimization", arXiv:2402.01306, Eq. (8)
 *   z = β (log π(y|x) − log ref(y|x) − KL);  good: λ_D (1 − σ(z)), bad: λ_U (1 − σ(−z)), mean over the completions of the step
 *   KL = max(0, mean over rows of log π(y'|x) − log ref(y'|x)), y' the answer of another row, without gradient: the column `kl`.
 * Paper: D'Oosterlinck et al. 2024, "APO", arXiv:2408.06266, for `apo_zero_unpaired`: the same with KL = 0.
 * Differs: nothing is divided by the weights, as in TRL.
 *
 * Metrics: `rewards/*` are β (log π − log ref), sums over tokens, without KL; a class that is not there has none.
 */
export function kto(options: KtoOptions): CompletionObjective {
  const comparesWithKl = options.loss_type === "kto";
  return {
    name: "kto",
    over: "labelled",
    columns: {
      referenceLogps: "completion",
      label: "completion",
      ...(comparesWithKl ? { kl: "completion" } : {}),
    },
    ...(comparesWithKl ? { kl_over: options.kl_over } : {}),
    counts: ({ columns }) => {
      const labels = Array.from(columns["label"] ?? []);
      const good = labels.filter((label) => label === 1).length;
      return { good, bad: labels.length - good };
    },
    evaluate: (completions, totals) => evaluate(completions, totals, options),
  };
}

function evaluate(completions: CompletionLogps, totals: StepTotals, options: KtoOptions): ObjectiveResult {
  const { beta, desirable_weight, undesirable_weight } = options;
  const label = columnOf(completions, "label");
  const kl = completions.columns["kl"] ?? null;
  const sums = sumByCompletion(completions.logps, completions);
  const rewards = ops.mul(ops.sub(sums, columnOf(completions, "referenceLogps")), beta);
  const sign = ops.sub(ops.mul(label, 2), 1);
  const z = kl === null ? rewards : ops.sub(rewards, ops.mul(kl, beta));
  const weights = ops.add(ops.mul(label, desirable_weight - undesirable_weight), undesirable_weight);
  // 1 − σ(z) is σ(−z)
  const losses = ops.mul(weights, ops.sigmoid(ops.neg(ops.mul(sign, z))));
  return {
    loss: ops.mul(ops.sum(losses), 1 / totals.completions),
    metrics: {
      ...(kl === null ? {} : { kl: meanOf(kl) }),
      ...classMetrics({ completions, sums, rewards: ops.detach(rewards) }, label, totals),
    },
  };
}

/** (C) each. */
interface Measured {
  completions: CompletionLogps;
  sums: Tensor;
  rewards: Tensor;
}

/** Means over the completions of each class, where there are any, and the difference of the mean rewards over the step. */
function classMetrics(
  { completions, sums, rewards }: Measured,
  label: Tensor,
  totals: StepTotals,
): Record<string, Metric> {
  const { good = 0, bad = 0 } = totals.counted ?? {};
  const here = totals.micro.counted ?? {};
  const classes = [
    { name: "chosen", mask: label, count: here["good"] ?? 0 },
    { name: "rejected", mask: ops.sub(1, label), count: here["bad"] ?? 0 },
  ] as const;
  const metrics: Record<string, Metric> = {};
  const values = {
    rewards,
    logps: sums,
    mean: ops.div(sums, completions.lengths),
    lengths: completions.lengths,
  };
  for (const { name, mask, count } of classes) {
    if (count === 0) continue;
    const sum = (of: Tensor): Metric => ({ sum: ops.sum(ops.mul(ops.detach(of), mask)), count });
    metrics[`rewards/${name}`] = sum(values.rewards);
    metrics[`logps/${name}`] = sum(values.logps);
    metrics[`logps/${name}_mean`] = sum(values.mean);
    metrics[`lengths/${name}`] = sum(values.lengths);
  }
  if (good > 0 && bad > 0) {
    const shares = ops.sub(ops.mul(classes[0].mask, 1 / good), ops.mul(classes[1].mask, 1 / bad));
    // a part of the difference, so that those of all micro-batches add up to it
    metrics["rewards/margins"] = {
      sum: ops.mul(ops.sum(ops.mul(rewards, shares)), totals.completions),
      count: totals.micro.completions,
    };
  }
  return metrics;
}
