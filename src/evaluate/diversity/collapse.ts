/** Whether a model in training has collapsed: the metrics of its sampled answers against those at the start. */

import { formatNumber } from "../../base/number-text.ts";
import type { WatchThresholds } from "../../config/watch-keys.ts";

/** A metric that exceeds its threshold. */
export interface Breach {
  /** Name of the threshold; null: a loss that is NaN, a KL that is not finite. */
  threshold: keyof WatchThresholds | null;
  /** The sentence to show. */
  text: string;
}

/** Metrics by name, without `eval_`; those that are missing or NaN are not judged. */
export type WatchedMetrics = Readonly<Record<string, number>>;

/** What later metrics are compared with. */
export interface WatchStart {
  /** The run's first evaluation: displacement is a change since then. */
  step: number;
  /** The same of single tokens, where that is a later one. */
  tokensStep?: number;
  /** The first at which answers were sampled as they are now, and its metrics. */
  watchStep: number;
  /** The first of the sum of `eval_reward_funcs` by the functions of now, where that is another one. */
  goldStep?: number;
  metrics: WatchedMetrics;
}

interface CollapseRule {
  /** Name of the metric. */
  metric: string;
  /** How far it has changed for the worse. */
  change: (now: number, start: number) => number;
  /** The verb of the sentence. */
  verb: string;
}

/** 1 − 0.7 is a hair more than 0.3. */
const rounding = 1e-9;

const rise = (now: number, start: number): number => now - start;
const fall = (now: number, start: number): number => start - now;
const factor = (now: number, start: number): number =>
  start > 0 ? Math.max(now / start, start / now) : Number.NaN;

const rules: Record<keyof WatchThresholds, CollapseRule> = {
  repetition: { metric: "samples/repetition", change: rise, verb: "rose" },
  ended_properly: { metric: "samples/ended_properly", change: fall, verb: "fell" },
  distinct_2: { metric: "samples/distinct_2", change: (now, start) => 1 - now / start, verb: "fell" },
  self_bleu: { metric: "samples/self_bleu", change: rise, verb: "rose" },
  malformed: { metric: "samples/malformed", change: rise, verb: "rose" },
  length: { metric: "samples/length", change: factor, verb: "went" },
  chosen_down: { metric: "displacement/frac_chosen_down", change: (now) => now, verb: "rose" },
  chosen_fall: { metric: "logps/chosen_delta_init", change: (now) => -now, verb: "fell" },
  drift: { metric: "displacement/token_change_mean_abs", change: (now) => now, verb: "rose" },
  tail: { metric: "displacement/token_change_p01", change: (now) => -now, verb: "fell" },
  kl: { metric: "kl_init", change: (now) => now, verb: "rose" },
  gold_fall: { metric: "gold", change: fall, verb: "fell" },
};

/** Bounds on single tokens, which are exceeded by a token whose change is no finite number. */
const tokenBounds = ["drift", "tail"] as const;

function stepOf(threshold: keyof WatchThresholds, start: WatchStart, isCompared: boolean): number {
  if (threshold === "gold_fall") return start.goldStep ?? start.watchStep;
  if (isCompared) return start.watchStep;
  return tokenBounds.some((name) => name === threshold) ? (start.tokensStep ?? start.step) : start.step;
}

/** The thresholds that `now` exceeds. A loss that is NaN and a KL that is not finite always count. */
export function breachesOf(now: WatchedMetrics, start: WatchStart, thresholds: WatchThresholds): Breach[] {
  const names = Object.keys(rules) as (keyof WatchThresholds)[];
  const beyond = names.flatMap((threshold) => {
    const limit = thresholds[threshold];
    const { metric, change, verb } = rules[threshold];
    const value = now[metric] ?? Number.NaN;
    // displacement and KL are changes since the start by themselves
    const isCompared = metric.startsWith("samples/") || metric === "gold";
    const before = isCompared ? (start.metrics[metric] ?? Number.NaN) : 0;
    if (limit === null || !(change(value, before) > limit + rounding)) return [];
    const how = threshold === "length" ? `more than ${limit}-fold` : `by more than ${formatNumber(limit)}`;
    const part = threshold === "distinct_2" ? " of itself" : "";
    const since = `since step ${stepOf(threshold, start, isCompared)}`;
    const text = `${metric} ${verb} ${how}${part} ${since}: from ${formatNumber(before)} to ${formatNumber(value)}`;
    return [{ threshold, text }];
  });
  const { loss = 0, kl_init = 0 } = now;
  const broken = Number.isNaN(loss)
    ? ["loss is NaN"]
    : Number.isFinite(kl_init)
      ? []
      : [`kl_init is ${kl_init}`];
  const lost = broken.map((what) => ({
    threshold: null,
    text: `${what}: log-probabilities are no longer numbers`,
  }));
  const ruined = now["displacement/token_change_not_finite"] ?? 0;
  const bound = ruined > 0 ? tokenBounds.find((name) => thresholds[name] !== null) : undefined;
  const text = `displacement/token_change_not_finite is ${ruined}: log-probabilities of chosen tokens are no longer numbers`;
  return [...lost, ...beyond, ...(bound === undefined ? [] : [{ threshold: bound, text }])];
}
