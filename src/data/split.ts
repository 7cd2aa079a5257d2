/** Choosing rows: a held-out part with separate prompts, and weighted sampling from several sources. */
import { createHash } from "node:crypto";

import { deriveSeed, permutation } from "../base/random.ts";
import type { Example } from "./example.ts";
import { promptKeyOf } from "./fingerprint.ts";

/** Two parts of a data set, each in the order of the whole. */
export interface Split {
  train: Example[];
  evaluation: Example[];
}

/**
 * `examples` in two parts that share no prompt. Prompts go to the evaluation part in an order that depends on `seed`
 * and the prompt alone, until it has `fraction` of the rows; so the order of the rows in their files does not matter. A prompt
 * of so many rows that the part would have more than twice its share is passed over. With two prompts or more, neither part is
 * empty: where all have too many rows, the one with fewest is held out.
 *
 * @param fraction - in (0, 1)
 */
export function splitByPrompt(examples: readonly Example[], fraction: number, seed: number): Split {
  const groups = new Map<string, Example[]>();
  for (const example of examples) {
    const key = promptKeyOf(example);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [example]);
    else group.push(example);
  }
  const order = [...groups.keys()]
    .map((key) => ({ key, rank: createHash("sha256").update(`${seed} ${key}`).digest("hex") }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1));
  const target = Math.max(1, Math.round(fraction * examples.length));
  const ordered = order.map(({ key }) => groups.get(key) ?? []);
  const heldOut = new Set<Example>();
  // The last prompt always stays for training.
  for (const group of ordered.slice(0, -1)) {
    if (heldOut.size >= target) break;
    if (heldOut.size + group.length > 2 * target) continue;
    for (const example of group) heldOut.add(example);
  }
  if (heldOut.size === 0 && ordered.length > 1) {
    const [fewest = []] = ordered.toSorted((a, b) => a.length - b.length);
    for (const example of fewest) heldOut.add(example);
  }
  return {
    train: examples.filter((example) => !heldOut.has(example)),
    evaluation: examples.filter((example) => heldOut.has(example)),
  };
}

/** Sizes and weights of sources to draw from. */
export interface DrawOptions {
  /** Rows of each source. */
  counts: readonly number[];
  /** Weight of each source in the sample, in any unit; above 0. */
  weights: readonly number[];
  /** At most this many rows altogether. */
  maxRows: number | null;
  seed: number;
}

/**
 * The rows to take from each source (0-based), at random and none twice: as many as can be had while the shares hold,
 * so that the source that is scarcest for its weight is used whole.
 */
export function drawRows({ counts, weights, maxRows, seed }: DrawOptions): Set<number>[] {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const shares = weights.map((weight) => weight / sum);
  const possible = Math.min(...counts.map((count, i) => count / (shares[i] ?? 1)));
  // Shares that divide evenly can come out a rounding error below a whole number.
  const total = Math.floor(Math.min(possible, maxRows ?? possible) + 1e-9);
  let upTo = 0;
  return counts.map((count, i) => {
    const before = Math.round(upTo * total);
    upTo += shares[i] ?? 0;
    // Rounding the running sum, not each share, keeps the rows drawn at `total`.
    const size = Math.min(count, Math.round(upTo * total) - before);
    return new Set(permutation(count, deriveSeed(seed, i)).subarray(0, size));
  });
}
