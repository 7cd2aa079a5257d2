/** `scale.json` of a run: what its model does to held-out pairs at each scale between start and result. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../base/errors.ts";
import { readTextFile } from "../base/files.ts";
import { parseNumbers } from "../base/json-numbers.ts";

/** One scale. */
export interface ScaleRow {
  scale: number;
  /** Metrics of an evaluation, without `eval_`, as changes since the start. */
  figures: Readonly<Record<string, number>>;
  /** Greedy answers to a few held-out prompts. */
  answers: readonly { prompt: string; answer: string }[];
}

/** A mean with its 95 % interval. */
export interface ScaleEstimate {
  value: number;
  low: number;
  high: number;
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
  choice: {
    scale: number;
    best: number;
    isUndecided: boolean;
    choosing: number;
    reporting: number;
    figures: Record<"chosen" | "margin" | "accuracy", ScaleEstimate> & { drift: number; tail: number };
  } | null;
}

/** The record in a run directory; null where there is none. @throws {FormatError} for another file */
export function readScales(runDir: string): ScaleRecord | null {
  const path = join(runDir, "scale.json");
  if (!existsSync(path)) return null;
  const record = parseNumbers(readTextFile(path)) as ScaleRecord | null;
  if (Array.isArray(record?.rows) && record.rows.every(({ scale }) => typeof scale === "number"))
    return record;
  throw new FormatError(`${path}: expected what preftune scale writes. Remove it, or measure again.`);
}
