/** Held-out pairs of two runs set against each other, matched by what is in them. */
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import { groupMeans, type MeanInterval, meanInterval } from "../stats/mean-interval.ts";

/** The difference of two runs on the pairs that both have: mean over their prompts, those of one averaged first, 95 % interval. */
export interface PairedDifference {
  pairs: number;
  /** How many prompts they have; of runs of earlier versions, which do not say it, as many as pairs. */
  prompts: number;
  /** As a fraction of the pairs. */
  accuracy: MeanInterval;
  /** Changes since each run's start, nats per token. */
  chosen: MeanInterval;
  rejected: MeanInterval;
}

/** A pair as a run found it last. */
interface FoundPair {
  chosen: number;
  rejected: number;
  right: number;
  /** Which prompt it answers: a number of its evaluation, or where that is not known its own key. */
  prompt: number | string;
}

/** `evaluations` minus `base` at their last evaluations; null with fewer than two pairs in common. */
export function pairedDifference(
  evaluations: readonly EvaluationRecord[],
  base: readonly EvaluationRecord[],
): PairedDifference | null {
  const [own, other] = [lastPairs(evaluations), lastPairs(base)];
  const both = [...own].flatMap(([key, pair]) => {
    const before = other.get(key);
    return before === undefined ? [] : [{ pair, before }];
  });
  if (both.length < 2) return null;
  const prompts = both.map(({ pair }) => pair.prompt);
  const interval = (part: "chosen" | "rejected" | "right"): MeanInterval => {
    const differences = both.map(({ pair, before }) => pair[part] - before[part]);
    return meanInterval(groupMeans(differences, prompts));
  };
  const [accuracy, chosen, rejected] = [interval("right"), interval("chosen"), interval("rejected")];
  return { pairs: both.length, prompts: new Set(prompts).size, accuracy, chosen, rejected };
}

/** The pairs of the last evaluation that kept them, by the digest of their tokens. */
function lastPairs(evaluations: readonly EvaluationRecord[]): Map<string, FoundPair> {
  const record = evaluations.findLast(({ pair_rows: rows = [] }) => rows.length > 0);
  const { pair_rows: rows = [], pair_changes: changes = [], pair_margins: margins = [] } = record ?? {};
  const prompts = record?.pair_prompts ?? [];
  return new Map(
    rows.flatMap(([, key], i): [string, FoundPair][] => {
      const [change, margin] = [changes[i], margins[i]];
      if (change === undefined || margin === undefined) return [];
      const right = (1 + Math.sign(margin)) / 2;
      return [[key, { chosen: change[0], rejected: change[1], right, prompt: prompts[i] ?? key }]];
    }),
  );
}
