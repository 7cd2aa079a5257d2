/** Rows that ranks pass through the model once each: every rank takes some of the batches, and all get all results. */
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

/** The batch of fewest tokens. */
export function shortest(batches: readonly MicroBatch[]): MicroBatch {
  return batches.reduce((least, batch) =>
    batch.packed.ids.length < least.packed.ids.length ? batch : least,
  );
}
