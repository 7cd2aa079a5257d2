/** `scale.json` of a run: what its model does to held-out pairs at each scale between start and result. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { isRecord } from "../base/is-record.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import { readSealed, sealed } from "../base/sealed.ts";
import { shellWord } from "../base/shell-word.ts";

/** What is wanted of a scale. */
export interface ScaleRule {
  /** What is to be as large as the bounds allow. */
  max: "margin" | "chosen" | "accuracy";
  /** Least mean change of chosen completions, nats per token; null or left out: no bound. */
  chosen_min?: number | null;
  /** Largest drift, nats. */
  drift_max?: number | null;
  /** Least tail, nats: −1 allows that one token in a hundred lost 1. */
  tail_min?: number | null;
}

/** One scale. */
export interface ScaleRow {
  scale: number;
  /** Metrics of an evaluation, without `eval_`, as changes since the start. */
  figures: Readonly<Record<string, number>>;
  /** Greedy answers to a few held-out prompts. */
  answers: readonly { prompt: string; answer: string }[];
}

/** A bound of the rule, and whether the scale that was picked meets it on the pairs that chose nothing. */
export interface ScaleBound {
  name: "chosen_min" | "drift_max" | "tail_min";
  bound: number;
  held: boolean;
}

/** A mean with its 95 % interval over prompts. */
export interface ScaleEstimate {
  value: number;
  low: number;
  high: number;
}

/** What a rule picked. */
export interface ScaleChoice {
  rule: ScaleRule;
  scale: number;
  /** The scale that is best on the choosing half; another than `scale` where the two cannot be distinguished. */
  best: number;
  /** Scales that meet the bounds on the choosing half, ascending. */
  allowed: readonly number[];
  /** Whether of several scales that meet the bounds none is better than the smallest beyond chance. */
  isUndecided: boolean;
  /** Pairs of the choosing half, and of the half that the figures are of. */
  choosing: number;
  reporting: number;
  /** Different prompts of these pairs, which the intervals are over. Not in records of earlier versions, nor what follows. */
  prompts?: { choosing: number; reporting: number };
  bounds?: readonly ScaleBound[];
  figures: Record<"chosen" | "margin" | "accuracy", ScaleEstimate> & {
    drift: number;
    drift_interval?: { low: number; high: number };
    tail: number;
  };
}

/** All that was measured. */
export interface ScaleRecord {
  /** Held-out pairs. */
  pairs: number;
  /** What other text is; null: none was measured. */
  other_text: string | null;
  /** Ascending, the start first. */
  rows: readonly ScaleRow[];
  /** What a rule has picked, with its figures on pairs that chose nothing; null: there was no rule. */
  choice: ScaleChoice | null;
}

/** The file in a run directory. */
export function scalePath(runDir: string): string {
  return join(runDir, "scale.json");
}

/** Writes the record of a run. @throws {FileError} when it cannot be written */
export function writeScales(runDir: string, record: ScaleRecord): void {
  writeFileAtomic(scalePath(runDir), sealed(stringifyNumbers(record)));
}

/**
 * The record in a run directory; null where there is none. Those of earlier versions have no digest.
 *
 * @throws {FormatError} for one that has changed since it was written, and for another file
 */
export function readScales(runDir: string): ScaleRecord | null {
  const path = scalePath(runDir);
  if (!existsSync(path)) return null;
  const remedy = `Measure again (preftune scale ${shellWord(runDir)}), or remove the file: then the report has no scales.`;
  try {
    const record = readSealed(path, parseNumbers);
    const { rows } = record;
    if (Array.isArray(rows) && rows.every(isScaleRow)) return record as unknown as ScaleRecord;
  } catch (error) {
    throw error instanceof FormatError
      ? new FormatError(`${error.message} ${remedy}`, { cause: error })
      : error;
  }
  throw new FormatError(`${path}: expected what preftune scale writes, got another record. ${remedy}`);
}

function isScaleRow(row: unknown): boolean {
  if (!isRecord(row)) return false;
  const { scale, figures, answers } = row;
  return typeof scale === "number" && isRecord(figures) && Array.isArray(answers);
}
