/** The runs of a grid and their places, as plain data that goes between its files and processes. */

/** Values of a configuration. */
export type Values = Readonly<Record<string, unknown>>;

/** One run of a grid. */
export interface Cell {
  /** Name of its directory. */
  id: string;
  /** What is compared: the runs of one condition differ in their seed. */
  condition: string;
  seed: number;
  /** A configuration file that the values come on top of; null for none. */
  file: string | null;
  /** What all cells share. */
  values: Values;
  /** The user's own words for all cells, on top of it. */
  words: readonly (readonly [string, string])[];
  /** What the condition says, on top of all. */
  changes: Values;
  /** Name of what else is measured, by the module of `GridPlaces.extras`; the result is the run's `NAME.json`. Null for nothing. */
  extra: string | null;
}

/** How a run ended; `reason` is null when it came to its end. */
export interface CellOutcome {
  cell: Cell;
  reason: string | null;
}

/** Where things are in a grid's folder. */
export interface GridPlaces {
  dir: string;
  /** URL of the module that measures what the cells' `extra` names. */
  extras: string;
  run(id: string): string;
  /** Held-out pairs under the model a cell begins with. */
  before(cell: Cell): string;
}

/** One held-out pair under one model. Log-probs are of the answer's tokens, nats. */
export interface HeldOutPair {
  file: string;
  line: number;
  chosen: number[];
  rejected: number[];
}

/** The held-out pairs under what a run exported, in its directory. */
export const heldOutName = "held-out.jsonl";

/** File of the run's directory with what else was measured. */
export function extraName(extra: string): string {
  return `${extra}.json`;
}
