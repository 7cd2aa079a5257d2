/** The two passes of generation over a cache: prompts or parts of them, and the newest token of many sequences. */
import { headsOf } from "../formats/model-config.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { CacheShape, KVCache, PageSpan } from "../nn/kv-cache.ts";
import type { Segment } from "../nn/packed-attention.ts";
import { batchInvariant, type DType, onDevice, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import type { Choice } from "./choice.ts";
import { logprobsOf } from "./choose.ts";

/** A model, the cache its keys and values go to, and the type of its activations. */
export interface CachedModel {
  model: CausalLM;
  cache: KVCache;
  dtype: DType;
}

/** A sequence with its newest token, which is not in the cache yet but has its place there. */
export interface NextToken {
  span: Readonly<PageSpan>;
  id: number;
}

/** The newest tokens of a sequence, which are not in the cache yet but have their places there. */
export interface NewIds {
  span: Readonly<PageSpan>;
  ids: readonly number[];
}

/**
 * Computes the newest tokens of some sequences: hidden states (T, D), one sequence after the other. On the CPU they and what the cache
 * holds are the same, to the bit, however a sequence is cut and whatever is computed with it. Elsewhere a pass takes whole prompts, or
 * one token of each sequence.
 */
export function newHidden({ model, cache, dtype }: CachedModel, added: readonly NewIds[]): Tensor {
  const stream = {
    ids: int64(added.flatMap(({ ids }) => ids)),
    positions: placed(
      model,
      added.flatMap(({ span, ids }) => ids.map((_, i) => span.length - ids.length + i)),
    ),
    segments: cache.takesParts ? [] : wholeSegments(added),
  };
  const attention = cache.pass(added.map(({ span, ids }) => ({ span, count: ids.length })));
  return batchInvariant(() => model.hiddenStates(stream, dtype, attention));
}

/** The prompts of a pass that takes them as a whole, one behind the other; none where it takes newest tokens. */
function wholeSegments(added: readonly NewIds[]): Segment[] {
  if (added.some(({ span, ids }) => ids.length < span.length)) return [];
  let end = 0;
  return added.map(({ ids }) => {
    const start = end;
    end += ids.length;
    return { start, end, parent: -1 };
  });
}

/** What a cache has to hold for a model whose activations are of this type. */
export function cacheShape(model: CausalLM, dtype: DType): CacheShape {
  const { config, device } = model;
  const layers = config.layerKinds.map((kind) => {
    const { headDim, numKeyValueHeads: keyHeads } = headsOf(config, kind);
    return { keyHeads, headDim };
  });
  return { layers, capsScores: config.design.scoreCap !== null, dtype, device };
}

/** Logits of what follows some of the tokens of `hidden` (T, D), at `rows`: (R, V) float32. */
export function logitsAfter(model: CausalLM, hidden: Tensor, rows: readonly number[]): Tensor {
  return logitsOf(model, ops.indexSelect(hidden, 0, placed(model, rows)));
}

/** Numbers of logits held at once where a whole prompt's are wanted. */
const logitsAtOnce = 2 ** 24;

/**
 * Log-probs of the tokens that follow the first ones of `hidden` (T, D), with the most likely ones in their places. Logits of
 * a few tokens at a time: memory does not grow with the prompt.
 *
 * @param ids - at most T ids: the i-th follows the i-th token
 * @param options.alternatives - how many of the most likely tokens to return for each
 * @param options.atOnce - numbers of logits held at once
 */
export function followingLogprobs(
  model: CausalLM,
  hidden: Tensor,
  ids: readonly number[],
  { alternatives, atOnce = logitsAtOnce }: { alternatives: number; atOnce?: number },
): Choice[] {
  const rows = Math.max(1, Math.floor(atOnce / model.config.vocabSize));
  const choices: Choice[] = [];
  for (let first = 0; first < ids.length; first += rows) {
    const some = ids.slice(first, first + rows);
    using _ = scope();
    const logits = logitsOf(model, ops.narrow(hidden, 0, first, some.length));
    choices.push(...logprobsOf(logits, some, alternatives));
  }
  return choices;
}

/**
 * Logits of what follows each sequence's newest token: (B, V) float32. On the CPU a sequence's are the same to the bit
 * whichever sequences are computed with it, and alone.
 */
export function nextLogits(parts: CachedModel, tokens: readonly NextToken[]): Tensor {
  const added = tokens.map(({ span, id }) => ({ span, ids: [id] }));
  return logitsOf(parts.model, newHidden(parts, added));
}

function logitsOf(model: CausalLM, hidden: Tensor): Tensor {
  return batchInvariant(() => model.logits(hidden));
}

function placed(model: CausalLM, values: readonly number[]): Tensor {
  return onDevice(int64(values), model.device, "int64");
}

function int64(values: readonly number[]): Tensor {
  return tensor(values, [values.length], { dtype: "int64" });
}
