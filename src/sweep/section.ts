/** What a grid compares, and the parts of its report. */

import type { ReportTable } from "../report/html.ts";
import type { IntervalChart } from "../report/interval-chart.ts";
import type { Chart } from "../report/line-chart.ts";
import type { ScatterChart } from "../report/scatter-chart.ts";
import type { Estimate } from "../stats/crossed-bootstrap.ts";
import type { MeasuredCondition } from "./measured.ts";
import type { ConfigValues } from "./trial.ts";

/** One thing that is compared with others: values on top of what all runs share. */
export interface Condition {
  name: string;
  changes: ConfigValues;
  /** What else is measured of the first seed's run, see `Trial.extra`. */
  extra?: string;
  /** Whether `extra` is measured of the runs of all seeds. */
  ofAllSeeds?: boolean;
  /** How many of the last seeds it does without; the first it always has. */
  fewerSeeds?: number;
  /** Left out of the tables and charts that all studies have: one of many that only sections look at. */
  isHidden?: boolean;
}

/** The results by condition, in order. */
export type Measured = ReadonlyMap<string, MeasuredCondition>;

/** A metric with its interval for the table of results. */
export interface ResultRow {
  condition: string;
  metric: string;
  unit: string;
  /** The condition it is compared with, where it is a difference. */
  minus?: string;
  interval: Estimate;
}

/** A part of the report. */
export interface ReportSection {
  title: string;
  /** What it shows and how to read it. */
  note?: string;
  tables?: readonly ReportTable[];
  curves?: readonly Chart[];
  intervals?: readonly IntervalChart[];
  scatters?: readonly ScatterChart[];
  /** Sentences computed from the metrics; also printed in the terminal. */
  sentences?: readonly string[];
  /** For the table of results. */
  rows?: readonly ResultRow[];
}
