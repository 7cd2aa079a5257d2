/** Which checkpoints stay when only so many are wanted. */

/** A checkpoint as retention sees it. */
export interface Retained {
  step: number;
  /** True when its files are known to be good. */
  verified: boolean;
}

/** What to keep. */
export interface RetentionOptions {
  /** How many of the newest stay; null: all. */
  save_total_limit: number | null;
  /** Step of the best checkpoint, which always stays; null: none is known. */
  best: number | null;
}

/**
 * The steps to keep and to remove, each in ascending order.
 *
 * The newest `save_total_limit` stay. Besides them the best one and the newest verified one stay, whatever the limit: a run is never
 * left without a checkpoint it can resume from.
 */
export function retain(
  checkpoints: readonly Retained[],
  options: RetentionOptions,
): { keep: number[]; remove: number[] } {
  const sorted = checkpoints.toSorted((a, b) => a.step - b.step);
  const limit = Math.max(1, options.save_total_limit ?? sorted.length);
  const newestVerified = sorted.findLast(({ verified }) => verified)?.step ?? null;
  const firstKept = Math.max(0, sorted.length - limit);
  const stays = ({ step }: Retained, index: number): boolean =>
    index >= firstKept || step === options.best || step === newestVerified;
  return {
    keep: sorted.filter(stays).map(({ step }) => step),
    remove: sorted.filter((checkpoint, index) => !stays(checkpoint, index)).map(({ step }) => step),
  };
}
