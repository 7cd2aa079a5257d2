/** The runs of a grid and their paths, as plain data that goes between its files and processes. */

/** Values of a configuration. */
export type ConfigValues = Readonly<Record<string, unknown>>;

/** One run of a grid. */
export interface Trial {
  /** Name of its directory. */
  id: string;
  /** What is compared: the runs of one condition differ in their seed. */
  condition: string;
  seed: number;
  /** A configuration file that the values come on top of; null for none. */
  file: string | null;
  /** What all trials share. */
  values: ConfigValues;
  /** The user's overrides for all trials (`--key value`), on top of it. */
  overrides: readonly (readonly [string, string])[];
  /** What the condition says, on top of all. */
  changes: ConfigValues;
  /** Name of what else is measured, by the module of `GridPaths.extras`; the result is the run's `NAME.json`. Null for nothing. */
  extra: string | null;
}

/** How a run ended; `reason` is null when it came to its end. */
export interface TrialOutcome {
  trial: Trial;
  reason: string | null;
}

/** Where things are in a grid's folder. */
export interface GridPaths {
  dir: string;
  /** URL of the module that measures what the trials' `extra` names. */
  extras: string;
  run(id: string): string;
  /** Held-out pairs under the model a trial begins with. */
  before(trial: Trial): string;
}

/** One held-out pair under one model. Log-probs are of the answer's tokens, nats. */
export interface HeldOutPair {
  file: string;
  line: number;
  /** The row of its rejected answer, of rows of one labelled answer; left out: the same row. */
  other?: { file: string; line: number };
  /** Which prompt it answers: pairs of one have the same number, from 0. Files of earlier versions do not say it. */
  prompt?: number;
  chosen: number[];
  rejected: number[];
}

/** A pair's file and line, or those of both of its rows: by these pairs of several runs are matched. */
export function pairName({ file, line, other }: HeldOutPair): string {
  const name = `${file}:${line}`;
  return other === undefined ? name : `${name} ${other.file}:${other.line}`;
}

/** The held-out pairs under what a run exported, in its directory. */
export const heldOutName = "held-out.jsonl";

/** File of the run's directory with what else was measured. */
export function extraName(extra: string): string {
  return `${extra}.json`;
}

/** Why a run failed, in a line: the reason's first, and where that announces others the next. */
export function reasonLine(reason: string): string {
  const [first = "", next = ""] = reason.split("\n").map((line) => line.trim());
  return first.endsWith(":") ? `${first} ${next}`.trim() : first;
}
