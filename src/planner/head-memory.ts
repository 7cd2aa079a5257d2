/** Memory of the head: logits of a part of the vocabulary and what its backward pass needs. Follows `src/forward/token-logps.ts`. */
import type { ModelConfig } from "../formats/model-config.ts";
import { itemBytes, type PlannedNumerics } from "./activations.ts";
import { completionTokens, type PairLengths } from "./flops.ts";

/** Bytes of logits held at once, and MiB of probabilities a trained head keeps: as in `token-logps.ts`. */
const limits = {
  cpu: { chunk: 32 * 2 ** 20, logits_kept_mib: 128 },
  gpu: { chunk: 256 * 2 ** 20, logits_kept_mib: 1024 },
};
const leastColumns = 256;

/** What the head's memory depends on. */
export interface HeadOptions {
  numerics: PlannedNumerics;
  /** Its weight is trained, and so float32. */
  isTrained: boolean;
  /** Ranks pass it by ranges of the vocabulary, all rows of a micro-batch at once. */
  isRanged: boolean;
  /** Entries of the vocabulary whose logits are held at once; null for automatic. */
  logits_chunk_size: number | null;
  /** MiB of probabilities that a trained head keeps; null for automatic. */
  logits_kept_mib: number | null;
  log_entropy: boolean;
  /** Entropies have a gradient. */
  entropyGradient: boolean;
  /** The tokens of prompts are predicted too. */
  predictsPrompts: boolean;
}

/** Bytes of the head's memory. */
export interface HeadMemory {
  /** While the head runs. */
  working: number;
  /** Gradient of the completion tokens' hidden states, there until the micro-batch is done. */
  gradient: number;
}

/** The head's memory for a micro-batch of these pairs. */
export function headMemory(
  config: ModelConfig,
  pairs: readonly PairLengths[],
  options: HeadOptions,
): HeadMemory {
  const { vocabSize, hiddenSize } = config;
  const { numerics, isTrained } = options;
  const item = itemBytes(numerics);
  const limit = numerics.onGpu ? limits.gpu : limits.cpu;
  const kept = (options.logits_kept_mib ?? limit.logits_kept_mib) * 2 ** 20;
  const all =
    sumOf(pairs) + (options.predictsPrompts ? pairs.reduce((sum, { prompt }) => sum + prompt, 0) : 0);
  const rows =
    isTrained && !options.isRanged && !options.predictsPrompts
      ? largestGroup(pairs, Math.max(1, Math.floor(kept / (4 * vocabSize))))
      : all;
  const automatic = 2 ** Math.floor(Math.log2(Math.max(leastColumns, limit.chunk / (4 * rows))));
  const columns = Math.min(vocabSize, options.logits_chunk_size ?? automatic);
  const room = isTrained && config.design.logitCap === null ? kept / (4 * rows) : 0;
  const keptColumns = room >= vocabSize ? vocabSize : Math.floor(room / columns) * columns;
  const beside = besideLogits(config, options, keptColumns);
  // a trained head has a copy in the activations' type; a frozen one is read in float32 for its expectation
  const otherType = item === 4 || isTrained ? 0 : columns * hiddenSize * 4;
  const logits = 4 * rows * keptColumns + rows * columns * beside + otherType;
  // the targets' rows; sums over the vocabulary, old, new and added; at the end their difference, step by step
  const vector = 4 * rows * hiddenSize;
  const targetRows = item * rows * hiddenSize;
  // a frozen head gathers a second expectation for the gradient of entropies
  const sums = options.entropyGradient ? 2 : 1;
  return {
    working: isTrained
      ? logits + vector
      : Math.max(logits + targetRows + 3 * sums * vector, (4 + sums) * vector),
    gradient: all * hiddenSize * item,
  };
}

/** Bytes beside each float32 logit of a part. */
function besideLogits(
  { vocabSize, design }: ModelConfig,
  { numerics, log_entropy }: HeadOptions,
  keptColumns: number,
): number {
  const item = itemBytes(numerics);
  // the product in the activations' type, the entropies' table, and with a cap the slopes and what is gathered with them
  const [product, entropies, slopes] = [
    item === 4 ? 0 : item,
    log_entropy ? 4 : 0,
    design.logitCap === null ? 0 : 8,
  ];
  return product + entropies + slopes + (keptColumns === vocabSize ? 0 : 4);
}

function sumOf(pairs: readonly PairLengths[]): number {
  return pairs.reduce((sum, pair) => sum + completionTokens(pair), 0);
}

/** Completion tokens of the largest group of complete rows with at most `most` of them, or of the longest row. */
function largestGroup(pairs: readonly PairLengths[], most: number): number {
  if (sumOf(pairs) <= most) return sumOf(pairs);
  let largest = 0;
  let filled = 0;
  for (const pair of pairs) {
    const added = completionTokens(pair);
    filled = filled + added > most ? added : filled + added;
    largest = Math.max(largest, filled);
  }
  return largest;
}
