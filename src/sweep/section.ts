/** What a study is: the conditions it compares, the figures it shows, and what else it makes of the results. */

import type { Chart } from "../runs/report-chart.ts";
import type { ReportTable } from "../runs/report-html.ts";
import type { IntervalChart } from "../runs/report-intervals.ts";
import type { Interval } from "./bootstrap.ts";
import type { Values } from "./cell.ts";
import type { FigureName } from "./figures.ts";
import type { Budget, PairSet } from "../../studies/ground.ts";
import type { MeasuredCondition } from "./measured.ts";
import type { ScatterChart } from "./scatter-chart.ts";

/** One thing that is compared with others: values on top of what all runs share. */
export interface Condition {
  name: string;
  changes: Values;
  /** Also measure the coupling of gradients. */
  measuresCoupling?: boolean;
  /** Left out of the tables and charts that all studies have: one of many that only sections look at. */
  isHidden?: boolean;
}

/** The results by condition, in order. */
export type Measured = ReadonlyMap<string, MeasuredCondition>;

/** A figure with its interval for the table of results. */
export interface ResultRow {
  condition: string;
  figure: string;
  unit: string;
  /** The condition it is compared with, where it is a difference. */
  minus?: string;
  interval: Interval;
}

/** A part of the report. */
export interface Section {
  title: string;
  /** What it shows and how to read it. */
  note?: string;
  tables?: readonly ReportTable[];
  courses?: readonly Chart[];
  intervals?: readonly IntervalChart[];
  scatters?: readonly ScatterChart[];
  /** Sentences computed from the figures; also printed in the terminal. */
  said?: readonly string[];
  /** For the table of results. */
  rows?: readonly ResultRow[];
}

/** A study. */
export interface StudyDefinition {
  title: string;
  /** What is claimed or asked, in a sentence or two. */
  question: string;
  /** Columns of its table, the most telling first. */
  figures: readonly FigureName[];
  /** The condition that another is compared with; null where there is none. */
  referenceOf(condition: string): string | null;
  /** Evaluations during training besides those at the start and the end. */
  evaluations: "few" | "some" | "every step";
  /** Whether the models' answers are sampled. */
  needsAnswers: boolean;
  /** Whether it compares two preference sets. */
  needsTwoSets?: boolean;
  /** Training seeds when not said otherwise. */
  seeds: Readonly<Record<Budget, number>>;
  conditions(asked: { budget: Budget; sets: readonly PairSet[] }): Condition[];
  sections(measured: Measured): Section[];
}
