/** How a model is run. */
import type { DType } from "../torch/index.ts";

/** How the model is run; the same for training, evaluation and scoring. */
export interface Numerics {
  /** Type of the activations. */
  dtype: DType;
  /** Compute blocks again in the backward pass instead of keeping their activations. */
  recompute: boolean;
  /** How many blocks, from the first, `recompute` means; null or left out: all. */
  recomputedBlocks?: number | null;
  /** Where what a recomputed block needs waits for the backward pass; null or left out: where the model is. */
  offload?: string | null;
  /** Vocabulary entries whose logits are held at once; null for automatic. */
  chunkColumns: number | null;
  /** Bytes of probabilities that a trained head keeps for its gradient; null or left out: automatic. */
  keptBytes?: number | null;
}
