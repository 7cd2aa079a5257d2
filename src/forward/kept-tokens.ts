/**
 * The tokens that could be drawn at each place of a completion, where top-k, top-p or min-p left only some: log-probs under the distribution
 * drawn from are renormalised over them.
 */
import { ShapeError } from "../base/errors.ts";
import { hasBit, idsOf, type TokenSet } from "../base/token-set.ts";
import { type Tensor, tensor } from "../torch/index.ts";

/** For each of R completion tokens those that could be drawn in its place, itself among them; null: all. */
export type KeptTokens = readonly (TokenSet | null)[];

/**
 * @param targets - (R) the tokens that came
 * @throws {ShapeError} unless there is one set for each target, with the target in it, and ids are ascending
 */
export function checkKeptTokens(kept: KeptTokens, targets: Int32Array): void {
  if (kept.length !== targets.length) {
    throw new ShapeError(
      `keptTokens: expected ${targets.length} sets, one for each token in the loss (null: all kept), got ${kept.length}.`,
    );
  }
  for (const [row, set] of kept.entries()) {
    if (set === null || holds(set, targets[row] ?? -1, row)) continue;
    throw new ShapeError(
      `keptTokens, token ${row}: expected token ${targets[row]}, which came, among the ${idsOf(set).length} kept. Are the sets ` +
        "those of these completions, in the order of their tokens in the loss?",
    );
  }
}

function holds(set: TokenSet, target: number, row: number): boolean {
  if (set instanceof Uint8Array) return hasBit(set, target);
  let before = -1;
  let hasTarget = false;
  for (const id of set) {
    if (id <= before) {
      throw new ShapeError(`keptTokens, token ${row}: expected ascending ids, got ${id} after ${before}.`);
    }
    before = id;
    hasTarget ||= id === target;
  }
  return hasTarget;
}

let room = new Uint8Array(0);

/** (R, end - start) bool on the CPU: which of the tokens [start, end) could not be drawn; null if all could. */
export function notKept(kept: KeptTokens, { start, end }: { start: number; end: number }): Tensor | null {
  if (kept.every((set) => set === null)) return null;
  const width = end - start;
  const size = kept.length * width;
  if (room.length < size) room = new Uint8Array(size);
  const mask = room.subarray(0, size);
  for (const [row, set] of kept.entries()) {
    const own = mask.subarray(row * width, (row + 1) * width);
    if (set === null) own.fill(0);
    else if (set instanceof Uint8Array)
      for (let i = 0; i < width; i++) own[i] = hasBit(set, start + i) ? 0 : 1;
    else maskAllBut(set, start, own);
  }
  return tensor(mask, [kept.length, width], { dtype: "bool" });
}

/** Sets those of the tokens from `start` on to 1 that are not among the ascending `ids`, and the others to 0. */
function maskAllBut(ids: Int32Array, start: number, own: Uint8Array): void {
  own.fill(1);
  for (let i = firstFrom(ids, start), last = firstFrom(ids, start + own.length); i < last; i++) {
    own[(ids[i] ?? start) - start] = 0;
  }
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
