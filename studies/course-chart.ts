/** How a figure of the pairs went over training, a line with its interval for each condition. */
import type { Chart, Series } from "../src/runs/report-chart.ts";
import type { Measured } from "../src/sweep/section.ts";
import { courseOf } from "../src/sweep/figures.ts";

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
