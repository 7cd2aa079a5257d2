/**
 * Keys of a batch's tokens for dropout: two words a token, which follow from the step's seed, the example's place in the
 * data, which of its pieces the token belongs to (prompt or completion) and the token's position. So the masks made of them
 * (`native/dropout.h`) are the same however a step is cut into micro-batches, and whether or not a prompt is shared, by whichever rows.
 */
import { at } from "../base/at.ts";
import { deriveSeed } from "../base/random.ts";
import type { PackedBatch } from "../data/packing.ts";

/** A packed batch and where its examples stand in the data. */
interface KeyedBatch {
  packed: Pick<PackedBatch, "pieces" | "positions">;
  indices: readonly number[];
  /** See `MicroBatch.prompts`. */
  prompts?: readonly number[];
}

/**
 * The keys of a micro-batch of T tokens: (2, T), first words then second words.
 *
 * @param seed - of the optimiser step, whole
 */
export function dropoutKeys(batch: KeyedBatch, seed: number): Int32Array<ArrayBuffer> {
  const { packed, indices, prompts = indices } = batch;
  const { pieces, positions } = packed;
  const tokens = positions.length;
  const keys = new Int32Array(2 * tokens);
  for (const [word, start] of [0, tokens].entries()) {
    const ofStep = deriveSeed(seed, word);
    for (const piece of pieces) {
      const ofExample = deriveSeed(ofStep, at(piece.completion < 0 ? prompts : indices, piece.example));
      const ofPiece = deriveSeed(ofExample, piece.completion + 1);
      for (let t = piece.start; t < piece.end; t++) {
        keys[start + t] = deriveSeed(ofPiece, at(positions, t));
      }
    }
  }
  return keys;
}
