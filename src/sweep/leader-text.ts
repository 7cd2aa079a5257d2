/** The first of a ranking, in a sentence. */

/** A setting of a ranking, the highest first. */
export interface Ranked {
  name: string;
  /** Its metric and interval, as text. */
  value: string;
  /** Whether the interval of its difference from the first, pair by pair, holds 0. */
  isTied: boolean;
}

/**
 * Names the first of a ranking by the metric `title` as the best only where no other can be taken for it.
 *
 * @param ended - settings with a run that came to its end; those without a number are not in the ranking
 */
export function leaderText(
  title: string,
  ranking: readonly Ranked[],
  ended: number = ranking.length,
): string {
  const [first] = ranking;
  if (first === undefined) {
    if (ended === 0) return "No run came to its end.";
    return `No best by ${title}: none of the ${ended} settings that came to an end has a number. Choose by another metric.`;
  }
  const named = `${first.name}, ${first.value}`;
  if (ranking.length === 1) return `One setting came to the end: ${named}.`;
  const tied = ranking.filter(({ isTied }) => isTied).map(({ name }) => name);
  if (tied.length === 0) return `Best by ${title}: ${named}.`;
  const [next = "", ...others] = tied;
  const rest = others.length === 0 ? next : `${next} and ${others.length} more`;
  return (
    `No best by ${title}: the first, ${named}, cannot be distinguished from ${rest} on these pairs and seeds. ` +
    "Give more held-out pairs or seeds."
  );
}
