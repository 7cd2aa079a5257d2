/** How a model is run. */
import type { DType } from "../torch/index.ts";

/** How the model is run; the same for training, evaluation and scoring. */
export interface Numerics {
  /** Type of the activations. */
  dtype: DType;
  /** Compute blocks again in the backward pass instead of keeping their activations. */
  gradient_checkpointing: boolean;
  /** How many blocks, from the first, `gradient_checkpointing` means; null or left out: all. */
  gradient_checkpointing_blocks?: number | null;
  /** What a recomputed block needs waits for the backward pass in the computer's memory. */
  activation_offloading?: boolean;
  /** Divides the logits, as where completions were sampled at that temperature; left out: 1. */
  temperature?: number;
  /** Vocabulary entries whose logits are held at once; null for automatic. */
  logits_chunk_size: number | null;
  /** MiB of probabilities that a trained head keeps for its gradient; null or left out: automatic. */
  logits_kept_mib?: number | null;
  /** Products as those of sampling, whose rows do not depend on each other: `batchInvariant`. On the CPU. */
  batch_invariant?: boolean;
}
