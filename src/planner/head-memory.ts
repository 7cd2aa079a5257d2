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
  /** False: a row of weights in its place gives rewards, and there are no logits. Left out: it is there. */
  hasHead?: boolean;
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
  const gradient = all * hiddenSize * item;
  if (options.hasHead === false) return { working: 0, gradient };
  const rows =
    isTrained && !options.isRanged && !options.predictsPrompts
      ? largestGroup(pairs, Math.max(1, Math.floor(kept / (4 * vocabSize))))
      : all;
  // a trained head has a copy in the activations' type; of a frozen one a float32 copy is made for its expectation, though not on GPUs
  const isCast = item !== 4 && !isTrained && !numerics.onGpu;
  const across = isCast ? Math.max(rows, hiddenSize) : rows;
  const automatic = 2 ** Math.floor(Math.log2(Math.max(leastColumns, limit.chunk / (4 * across))));
  const columns = Math.min(vocabSize, options.logits_chunk_size ?? automatic);
  const room = isTrained && config.design.logitCap === null ? kept / (4 * rows) : 0;
  const keptColumns = room >= vocabSize ? vocabSize : Math.floor(room / columns) * columns;
  const beside = besideLogits(config, options, keptColumns);
  const otherType = isCast ? columns * hiddenSize * 4 : 0;
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
    gradient,
  };
}

/** Bytes beside each float32 logit of a part. */
function besideLogits(
  { vocabSize, design }: ModelConfig,
  { numerics, isTrained, log_entropy }: HeadOptions,
  keptColumns: number,
): number {
  const item = itemBytes(numerics);
  // the product in the activations' type, the entropies' table, with a cap the slopes and what is gathered with them, and the two
  // numbers that an exponential is taken as beside a frozen head in bfloat16 on a GPU, with the difference that is the second
  const [product, entropies, slopes, halves] = [
    item === 4 ? 0 : item,
    log_entropy ? 4 : 0,
    design.logitCap === null ? 0 : 8,
    numerics.onGpu && item !== 4 && !isTrained ? 8 : 0,
  ];
  return product + entropies + slopes + halves + (keptColumns === vocabSize ? 0 : 4);
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
