/** How a figure of the pairs went over training, a line with its interval for each condition. */
import {
  type Chart,
  type EvaluationRecord,
  type Interval,
  type Measured,
  type MeasuredCondition,
  meanInterval,
  type Series,
} from "preftune/sweep";

/** What is drawn. */
export interface CoursePlan {
  title: string;
  unit: "nats/token" | "share";
  /** From the changes of one pair's answers since the start, nats per token. */
  value: (chosen: number, rejected: number) => number;
}

/** Colours of the style sheet. */
const colours = 7;

/** The chart over all conditions. */
export function courseChart(measured: Measured, { title, unit, value }: CoursePlan): Chart {
  const series = [...measured.values()].map((one, i): Series => {
    const points = courseOf(one, value, unit === "share");
    return {
      name: one.name,
      colour: (i % colours) + 1,
      isEval: false,
      points: points.map(({ step, interval }) => [step, interval.value]),
      band: points.map(({ step, interval }) => [step, interval.low, interval.high]),
    };
  });
  return { title, unit, xLabel: "step", series };
}

/** A point of a course over training. */
interface CoursePoint {
  step: number;
  interval: Interval;
}

/**
 * How the pairs' answers had moved at each evaluation that all runs of the condition made.
 *
 * @param value - from the changes of one pair's chosen and rejected answer, nats per token
 */
function courseOf(
  { runs }: MeasuredCondition,
  value: (chosen: number, rejected: number) => number,
  isShare: boolean,
): CoursePoint[] {
  const [first] = runs;
  if (first === undefined) return [];
  return first.evaluations.flatMap(({ global_step: step }) => {
    const records = runs.map(({ evaluations }) => evaluations.find((one) => one.global_step === step));
    if (!records.every((record): record is EvaluationRecord => (record?.pair_changes.length ?? 0) > 0))
      return [];
    const table = records.map(({ pair_changes: pairs }) => Float64Array.from(pairs, ([c, r]) => value(c, r)));
    return [{ step, interval: meanInterval(table, { isShare, draws: 300 }) }];
  });
}
