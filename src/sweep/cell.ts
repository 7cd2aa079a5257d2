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
  /** Also measure how the gradients of the pairs' answers are coupled, see `coupling.ts`. */
  measuresCoupling: boolean;
}

/** How a run ended; `reason` is null when it came to its end. */
export interface CellOutcome {
  cell: Cell;
  reason: string | null;
}

/** Where things are in a grid's folder. */
export interface GridPlaces {
  dir: string;
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

/** Files that measuring leaves in a run's directory. */
export const MEASURED_FILES: Readonly<Record<"heldOut" | "coupling", string>> = {
  heldOut: "held-out.jsonl",
  coupling: "coupling.json",
};
