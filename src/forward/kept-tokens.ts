/**
 * The tokens that could be drawn at each place of a completion, where top-k, top-p or min-p left only some: log-probs under the distribution
 * drawn from are renormalised over them.
 */
import { ShapeError } from "../base/errors.ts";
import { type Tensor, tensor } from "../torch/index.ts";

/** For each of R completion tokens the ids that could be drawn in its place, ascending, itself among them; null: all. */
export type KeptTokens = readonly (Int32Array | null)[];

/**
 * @param targets - (R) the tokens that came
 * @throws {ShapeError} unless there is one list for each target, ascending and with the target in it
 */
export function checkKeptTokens(kept: KeptTokens, targets: Int32Array): void {
  if (kept.length !== targets.length) {
    throw new ShapeError(
      `keptTokens: expected ${targets.length} lists, one for each token in the loss (null: all kept), got ${kept.length}.`,
    );
  }
  for (const [row, ids] of kept.entries()) {
    if (ids === null) continue;
    let before = -1;
    let hasTarget = false;
    for (const id of ids) {
      if (id <= before) {
        throw new ShapeError(`keptTokens, token ${row}: expected ascending ids, got ${id} after ${before}.`);
      }
      before = id;
      hasTarget ||= id === targets[row];
    }
    if (hasTarget) continue;
    throw new ShapeError(
      `keptTokens, token ${row}: expected token ${targets[row]}, which came, among the ${ids.length} kept. Are the lists those ` +
        "of these completions, in the order of their tokens in the loss?",
    );
  }
}

let room = new Uint8Array(0);

/** (R, end - start) bool on the CPU: which of the tokens [start, end) could not be drawn; null if all could. */
export function notKept(kept: KeptTokens, { start, end }: { start: number; end: number }): Tensor | null {
  if (kept.every((ids) => ids === null)) return null;
  const width = end - start;
  const size = kept.length * width;
  if (room.length < size) room = new Uint8Array(size);
  const mask = room.subarray(0, size);
  for (const [row, ids] of kept.entries()) {
    const own = mask.subarray(row * width, (row + 1) * width);
    own.fill(ids === null ? 0 : 1);
    if (ids === null) continue;
    for (let i = firstFrom(ids, start), last = firstFrom(ids, end); i < last; i++) {
      own[(ids[i] ?? start) - start] = 0;
    }
  }
  return tensor(mask, [kept.length, width], { dtype: "bool" });
}

/** Index of the first of the ascending `ids` that is at least `least`. */
function firstFrom(ids: Int32Array, least: number): number {
  let [low, high] = [0, ids.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ids[middle] ?? least) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
