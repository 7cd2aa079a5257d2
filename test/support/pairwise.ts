/** Combinations in which every pair of values of two different keys is. */

/** The values of each key. */
export type Lists = Readonly<Record<string, readonly unknown[]>>;

/** A value of each key. */
export type Combination = Record<string, unknown>;

/** The pairs of values in a combination, each as a text. */
function pairsIn(combination: Combination): string[] {
  const entries = Object.entries(combination).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return entries.flatMap((one, i) => entries.slice(i + 1).map((other) => `${one}, ${other}`));
}

/**
 * Adds combinations to `given` until every pair of values is in one, but for those that no possible combination has. The same each time.
 *
 * @param isPossible - whether keys with these values go together; asked of parts of a combination too
 * @returns those that were added
 */
export function completePairs(
  lists: Lists,
  given: readonly Combination[],
  isPossible: (part: Combination) => boolean,
): Combination[] {
  const keys = Object.keys(lists);
  const wanted = new Set(
    keys.flatMap((one, i) =>
      keys.slice(i + 1).flatMap((other) =>
        (lists[one] ?? []).flatMap((a) =>
          (lists[other] ?? []).flatMap((b) => {
            const pair = { [one]: a, [other]: b };
            return isPossible(pair) ? pairsIn(pair) : [];
          }),
        ),
      ),
    ),
  );
  const cover = (combination: Combination) =>
    pairsIn(combination).forEach((pair) => void wanted.delete(pair));
  given.forEach(cover);
  const added: Combination[] = [];
  while (wanted.size > 0) {
    // of each key the value that has most pairs still wanted, those of the first wanted pair before all
    const [first] = wanted;
    const worth = (part: Combination) =>
      pairsIn(part).reduce((sum, pair) => sum + (pair === first ? 1000 : wanted.has(pair) ? 1 : 0), 0);
    const [one = {}] = combinations(lists, isPossible)
      .map((combination) => ({ combination, worth: worth(combination) }))
      .sort((a, b) => b.worth - a.worth)
      .map(({ combination }) => combination);
    cover(one);
    if (wanted.has(first ?? "")) throw new Error(`no possible combination has ${first}`);
    added.push(one);
  }
  return added;
}

function combinations(lists: Lists, isPossible: (part: Combination) => boolean): Combination[] {
  return Object.entries(lists)
    .reduce<Combination[]>(
      (parts, [key, values]) => parts.flatMap((part) => values.map((value) => ({ ...part, [key]: value }))),
      [{}],
    )
    .filter(isPossible);
}
