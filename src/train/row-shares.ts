/** Rows that ranks pass through the model once each: every rank takes some of the batches, and all get all results. */
import { at } from "../base/at.ts";
import type { CompletionValues } from "../data/completion-values.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import type { MicroBatch } from "../forward/batch.ts";

/**
 * What of `batches` this rank takes: every size-th. All ranks have equally many; where there is none left, an idle one, the
 * shortest of all. Without a group all of them.
 */
export function shareOf(batches: readonly MicroBatch[], group: RankGroup | null): readonly MicroBatch[] {
  if (group === null || batches.length === 0) return batches;
  const { rank, size } = group;
  const idle = { ...shortest(batches), isIdle: true };
  const rounds = Math.ceil(batches.length / size);
  return Array.from({ length: rounds }, (_, round) => batches[round * size + rank] ?? idle);
}

/** What is known of rows. */
export interface FoundRows {
  /** Mean token log-prob of each completion, or its score. */
  means: CompletionValues;
  /** Log-probs of the loss tokens, (row)(completion)(token). */
  tokens: Float32Array[][];
}

/**
 * Tells the other ranks what this one found of the rows of its share, and puts into `found` what they did of theirs.
 *
 * @param own - what this rank says besides @returns what all say, in the order of the ranks
 */
export function exchangeFound<T>(
  group: RankGroup,
  own: T,
  share: readonly MicroBatch[],
  { means, tokens }: FoundRows,
): T[] {
  const rows = share.filter(({ isIdle }) => isIdle !== true).flatMap(({ indices }) => [...indices]);
  const found = rows.map((row): [number, number[], string[]] => [
    row,
    Array.from(means.of(row)),
    at(tokens, row).map(({ buffer, byteOffset, byteLength }) =>
      Buffer.from(buffer, byteOffset, byteLength).toString("base64"),
    ),
  ]);
  const all = group.gather({ own, found });
  for (const [row, values, texts] of all.flatMap((one) => one.found)) {
    means.of(row).set(values);
    tokens[row] = texts.map((text) => new Float32Array(Uint8Array.from(Buffer.from(text, "base64")).buffer));
  }
  return all.map((one) => one.own);
}

/** The batch of fewest tokens. */
export function shortest(batches: readonly MicroBatch[]): MicroBatch {
  return batches.reduce((least, batch) =>
    batch.packed.ids.length < least.packed.ids.length ? batch : least,
  );
}
