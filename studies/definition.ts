/** What a study is: the conditions it compares, the metrics it shows, and what else it makes of the results. */
import type { Condition, ConfigValues, Measured, ReportSection, TrialMetricName } from "preftune/sweep";
import type { Budget, PairSet } from "./setup.ts";

/** A study. */
export interface StudyDefinition {
  title: string;
  /** What is claimed or asked, in a sentence or two. */
  question: string;
  /** Columns of its table, the most telling first. */
  metrics: readonly TrialMetricName[];
  /** The condition that another is compared with; null where there is none. */
  referenceOf(condition: string): string | null;
  /** What conditions have to share to stand in one table and on one axis; without it all do. */
  groupOf?(condition: string): string;
  /** Evaluations during training besides those at the start and the end. */
  evaluations: "few" | "some" | "every step";
  /** Whether the models' answers are sampled. */
  needsAnswers: boolean;
  /** Whether it compares two preference sets. */
  needsTwoSets?: boolean;
  /** Whether each seed stands for another part of the training rows: disjoint training sets, which all conditions share. */
  dividesRows?: boolean;
  /** Learning rates of every method, where the study sweeps them; `--learning-rates` gives others. */
  learningRates?: readonly number[];
  /** Whether it can train against a reward model, on rows of the user's own. */
  takesRewardModel?: boolean;
  /** Whether some of its methods can be run without the others. */
  canChoose?: boolean;
  /** Default number of training seeds. */
  seeds: Readonly<Record<Budget, number>>;
  conditions(asked: Asked): Condition[];
  /** Keys that it decides itself, besides those that its conditions have. */
  decides?: readonly string[];
  /** What all of its runs have, unless --key value says otherwise; left out: nothing of the study's. */
  values?(asked: Omit<Asked, "searched">): ConfigValues;
  /** What is tried first, on separate seeds, where a study searches for values. */
  search?: Search;
  /** @param searched - what the search measured; null where there was none */
  sections(measured: Measured, searched: Measured | null): ReportSection[];
}

/** What a study is asked for. */
export interface Asked {
  budget: Budget;
  sets: readonly PairSet[];
  /** Prompts of generated data; null where the user brought a model and rows. */
  prompts: ConfigValues | null;
  /** Those that the study sweeps; left out for one that sweeps none. */
  learningRates?: readonly number[];
  /** Whether runs begin with an adapter; left out: they do not. */
  fromAdapter?: boolean;
  /** Whether a configuration of the user's says how much is trained on; left out: none does. */
  hasConfig?: boolean;
  /** A reward model's directory; null or left out: none. */
  rewardModel?: string | null;
  /** What the search measured; null where there was none. */
  searched: Measured | null;
}

/** A search that comes before the conditions. */
export interface Search {
  seeds: Readonly<Record<Budget, number>>;
  conditions(asked: Omit<Asked, "searched">): Condition[];
}

/** A section of the report without its words, which the study's file has. */
export type Analysis = (
  measured: Measured,
  referenceOf: (condition: string) => string | null,
) => Omit<ReportSection, "title" | "note">;
