/** The two passes of generation over a cache: a whole prompt, and the newest token of many sequences. */
import { headsOf } from "../formats/model-config.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { CacheShape, KVCache, PageSpan } from "../nn/kv-cache.ts";
import { batchInvariant, type DType, onDevice, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import { type Choice, logprobsOf } from "./choose.ts";

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

/**
 * Computes the last tokens of a prompt as far as it is in the cache, from `first` on: hidden states (T, D) of those T tokens. On the
 * CPU they and what the cache holds are the same, to the bit, however a prompt is cut, and as decoding would have them.
 *
 * @param ids - the whole prompt
 */
export function promptHidden(
  { model, cache, dtype }: CachedModel,
  ids: readonly number[],
  { span, first }: { span: Readonly<PageSpan>; first: number },
): Tensor {
  const end = span.length;
  const count = end - first;
  const stream = {
    ids: placed(model, ids.slice(first, end)),
    positions: placed(
      model,
      Array.from({ length: count }, (_, i) => first + i),
    ),
    segments: [{ start: 0, end: count, parent: -1 }],
  };
  return batchInvariant(() => model.hiddenStates(stream, dtype, cache.pass([{ span, count }])));
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

/** Logits of what follows the last token of `hidden` (T, D): (1, V) float32. */
export function lastLogits(model: CausalLM, hidden: Tensor): Tensor {
  return logitsOf(model, ops.narrow(hidden, 0, hidden.size(0) - 1, 1));
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
export function nextLogits({ model, cache, dtype }: CachedModel, tokens: readonly NextToken[]): Tensor {
  const stream = {
    ids: placed(
      model,
      tokens.map(({ id }) => id),
    ),
    positions: placed(
      model,
      tokens.map(({ span }) => span.length - 1),
    ),
    segments: [],
  };
  const attention = cache.pass(tokens.map(({ span }) => ({ span, count: 1 })));
  const hidden = batchInvariant(() => model.hiddenStates(stream, dtype, attention));
  return logitsOf(model, hidden);
}

function logitsOf(model: CausalLM, hidden: Tensor): Tensor {
  return batchInvariant(() => model.logits(hidden));
}

function placed(model: CausalLM, values: readonly number[]): Tensor {
  return onDevice(tensor(values, [values.length], { dtype: "int64" }), model.device, "int64");
}
