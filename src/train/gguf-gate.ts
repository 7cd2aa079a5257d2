/** Whether a GGUF file scores held-out rows as the model does that it was made of, and how far its pairs move. */
import { FormatError } from "../base/errors.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { WrittenType } from "../gguf/types.ts";
import type { LogpDifference } from "../runs/train-events.ts";
import { differenceOf } from "./logp-difference.ts";
import { allowedMean } from "./rounding.ts";

/** What pairs come to: the mean of their margins, and the share whose margin is above 0. */
export interface PairFigures {
  pairs: number;
  /** Mean log-prob of the chosen answer's tokens less that of the rejected one's, nats. */
  margin: number;
  accuracy: number;
}

/** What was measured of a file. */
export interface GgufMeasure extends LogpDifference {
  /** Before writing and in the file; null where rows were no pairs. */
  pairs: { before: PairFigures; after: PairFigures } | null;
  /** What rounding to a half type does by chance; null for other types. */
  rounding: LogpDifference | null;
}

/** Scores of the gate's rows, by the model and by the file. */
export interface GgufScores {
  batches: readonly MicroBatch[];
  /** Whether two answers of a row are a chosen and a rejected one. */
  arePairs: boolean;
  /** Log-probs of the tokens of each completion. */
  want: readonly Float32Array[];
  got: readonly Float32Array[];
  rounding: LogpDifference | null;
}

/**
 * Compares the file's scores with the model's.
 *
 * A float32 file must agree within `tolerance`, a file of half type as its rounding allows; what quantising costs is measured.
 *
 * @throws {FormatError} with the figures if they differ more, or a log-prob is not finite
 */
export function judgeGguf(
  type: WrittenType | "q4_k_m",
  { batches, arePairs, want, got, rounding }: GgufScores,
  { tolerance, output }: { tolerance: number; output: string },
): GgufMeasure {
  const difference = differenceOf(want, got);
  const { maxDifference, meanDifference, tokens } = difference;
  const allowed = allowedFor(type, rounding, tolerance);
  const measured = type === "f32" ? maxDifference : meanDifference;
  if (!(measured <= allowed)) {
    throw new FormatError(
      `${output}: the GGUF file does not score rows as the model does: token log-probs differ by up to ` +
        `${maxDifference.toExponential(2)} nats (mean ${meanDifference.toExponential(2)}) over ${tokens} tokens, allowed are ` +
        `${allowed.toExponential(2)}. It was not written.`,
    );
  }
  const [before, after] = arePairs ? [figuresOf(batches, want), figuresOf(batches, got)] : [null, null];
  return { ...difference, rounding, pairs: before === null || after === null ? null : { before, after } };
}

function allowedFor(
  type: WrittenType | "q4_k_m",
  rounding: LogpDifference | null,
  tolerance: number,
): number {
  if (type === "f32") return tolerance;
  return rounding === null ? Number.MAX_VALUE : allowedMean(rounding, tolerance);
}

/** The figures of rows that are pairs; null where none is. */
function figuresOf(batches: readonly MicroBatch[], logps: readonly Float32Array[]): PairFigures | null {
  const margins: number[] = [];
  let next = 0;
  for (const { packed } of batches) {
    const count = packed.spans.length;
    const [chosen, rejected] = [logps[next], logps[next + 1]];
    next += count;
    if (count !== 2 || chosen === undefined || rejected === undefined) continue;
    margins.push(meanOf(chosen) - meanOf(rejected));
  }
  if (margins.length === 0) return null;
  return {
    pairs: margins.length,
    margin: meanOf(margins),
    accuracy: margins.filter((margin) => margin > 0).length / margins.length,
  };
}

function meanOf(numbers: Float32Array | readonly number[]): number {
  let sum = 0;
  for (const x of numbers) sum += x;
  return sum / Math.max(1, numbers.length);
}
