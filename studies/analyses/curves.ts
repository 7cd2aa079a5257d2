/** How the chosen answers went over training, and where they ended. */
import {
  type Chart,
  type Estimate,
  type EvaluationRecord,
  estimate,
  inCharts,
  intervalText,
  type Measured,
  type MeasuredCondition,
  meanInterval,
} from "preftune/sweep";
import type { Analysis } from "../definition.ts";

/** Likelihood of the chosen answers since the start, and the fraction of pairs that lost some. */
export const curves: Analysis = (measured, referenceOf) => ({
  curves: [
    ...curveCharts(measured, referenceOf, {
      title: "Chosen log-likelihood since the start",
      unit: "nats/token",
      value: (chosen) => chosen,
    }),
    ...curveCharts(measured, referenceOf, {
      title: "Pairs whose chosen answer is below its start",
      unit: "share",
      value: (chosen) => Number(chosen < 0),
    }),
  ],
});

/** A sentence for each condition. */
export const chosenLikelihood: Analysis = (measured) => ({
  sentences: [...measured.values()].map((condition) => {
    const change = estimate(condition, "chosen_change");
    const down = estimate(condition, "chosen_down");
    const fell = change.high < 0 ? "fell" : change.low > 0 ? "rose" : "did not move beyond the noise";
    return `${condition.name}: the chosen answers' likelihood ${fell}, ${intervalText(change, "nats/token")} nats per token; ${intervalText(down, "share")} of the pairs are below their start.`;
  }),
});

/** What is drawn. */
interface CurvePlan {
  title: string;
  unit: "nats/token" | "share";
  /** From the change of a pair's chosen answer since the start, nats per token. */
  value: (chosen: number) => number;
}

/** A line with its interval for each condition. */
function curveCharts(
  measured: Measured,
  referenceOf: Parameters<Analysis>[1],
  { title, unit, value }: CurvePlan,
): Chart[] {
  const lines = [...measured.values()].map((condition) => {
    const points = curveOf(condition, value, unit === "share");
    return {
      name: condition.name,
      isEval: false,
      points: points.map(({ step, interval }): [number, number] => [step, interval.value]),
      band: points.map(({ step, interval }): [number, number, number] => [step, interval.low, interval.high]),
    };
  });
  const shared = [...measured.keys()].map(referenceOf).find((name) => name !== null) ?? null;
  return inCharts({ title, unit, xLabel: "step" }, lines, shared);
}

/** A point of a curve. */
interface CurvePoint {
  step: number;
  interval: Estimate;
}

/**
 * How the pairs' answers had moved at each evaluation that all runs of the condition made.
 *
 * @param value - from the change of a pair's chosen answer, nats per token
 */
function curveOf(
  { runs }: MeasuredCondition,
  value: (chosen: number) => number,
  isShare: boolean,
): CurvePoint[] {
  const [first] = runs;
  if (first === undefined) return [];
  return first.evaluations.flatMap(({ global_step: step }) => {
    const records = runs.map(({ evaluations }) => evaluations.find((record) => record.global_step === step));
    if (!records.every((record): record is EvaluationRecord => (record?.pair_changes.length ?? 0) > 0))
      return [];
    const { changes, prompts } = onSameRows(records);
    const table = changes.map((pairs) => Float64Array.from(pairs, ([chosen]) => value(chosen)));
    return [{ step, interval: meanInterval(table, { isShare, draws: 300, prompts }) }];
  });
}

/** What is recorded of pairs, one list a run, in which the pairs stand in one order. */
interface SameRows {
  changes: readonly EvaluationRecord["pair_changes"][];
  /** The number of each pair's prompt; left out: not known. */
  prompts?: readonly number[] | undefined;
}

/** The changes of the pairs that all records have: a run without a finite change of a pair has recorded none. */
function onSameRows(records: readonly EvaluationRecord[]): SameRows {
  const keys = records.map(({ pair_rows }) => pair_rows?.map(([, key]) => key) ?? []);
  const [first = [], ...others] = keys;
  const isSame = others.every(
    (own) => own.length === first.length && own.every((key, i) => key === first[i]),
  );
  // records of earlier versions do not say which pairs they have
  const places = keys.map((own) => new Map(own.map((key, i) => [key, i])));
  const shared = [...new Set(first)].filter((key) => places.every((own) => own.has(key)));
  const picked = <T>(all: readonly T[], r: number): T[] =>
    isSame ? [...all] : shared.map((key) => all[places[r]?.get(key) ?? -1] as T);
  const changes = records.map(({ pair_changes: pairs }, r) => picked(pairs, r));
  const knows = records.findIndex(
    ({ pair_prompts: own, pair_changes: pairs }) => own?.length === pairs.length,
  );
  return { changes, prompts: knows < 0 ? undefined : picked(records[knows]?.pair_prompts ?? [], knows) };
}
