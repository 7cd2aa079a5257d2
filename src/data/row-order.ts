/** The order in which rows are trained on. An epoch's depends on configuration, data and its number: a resumed run finds it again. */
import { at } from "../base/at.ts";
import { deriveSeed, permutation } from "../base/random.ts";

/** What decides an order, under the names of a run's configuration. */
export interface RowOrder {
  /** Another one each epoch, as the rows are read, or rows of like length together. */
  data_order: "shuffled" | "given" | "length";
  seed: number;
}

/** Steps at most among which rows of like length are sought: rows stay spread over the epoch beyond them. */
const stepsOfGroup = 50;

/** Groups at least, where there are rows enough: an epoch is not one descent from its longest row to its shortest. */
const leastGroups = 4;

/**
 * Indices of rows in the order of epoch `epoch`, from 0.
 *
 * @param lengths - of each row, in tokens
 * @param rowsPerStep - rows of an optimiser step
 */
export function orderOfEpoch(
  lengths: readonly number[],
  epoch: number,
  { data_order, seed, rowsPerStep }: RowOrder & { rowsPerStep: number },
): Int32Array {
  if (data_order !== "length") return orderWithoutLengths(lengths.length, epoch, { data_order, seed });
  const shuffled = permutation(lengths.length, deriveSeed(seed, epoch));
  const steps = Math.floor(lengths.length / (rowsPerStep * leastGroups));
  const size = Math.ceil(rowsPerStep * Math.max(1, Math.min(stepsOfGroup, steps)));
  const length = (index: number) => at(lengths, index);
  const groups = Array.from({ length: Math.ceil(shuffled.length / size) }, (_, i) =>
    [...shuffled.subarray(i * size, (i + 1) * size)].sort((a, b) => length(b) - length(a)),
  );
  const longest = groups.reduce((best, group) => (length(at(group, 0)) > length(at(best, 0)) ? group : best));
  return Int32Array.from([longest, ...groups.filter((group) => group !== longest)].flat());
}

/** The same for an order that does not depend on the rows' lengths: indices of `count` rows. */
export function orderWithoutLengths(
  count: number,
  epoch: number,
  { data_order, seed }: { data_order: "shuffled" | "given"; seed: number },
): Int32Array {
  if (data_order === "given") return Int32Array.from({ length: count }, (_, i) => i);
  return permutation(count, deriveSeed(seed, epoch));
}
