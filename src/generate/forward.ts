/** The two passes of generation over a cache: a whole prompt, and the newest token of many sequences. */
import type { CausalLM } from "../models/causal-lm.ts";
import type { CachedSequence, KVCache, PageSpan } from "../nn/kv-cache.ts";
import { batchInvariant, type DType, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import { type Choice, logprobsOf } from "./choose.ts";

/** A model, the cache its keys and values go to, and the type of its activations. */
export interface CachedModel {
  model: CausalLM;
  cache: KVCache;
  dtype: DType;
}

/** A sequence with its newest token, which is not in the cache yet but has its place there. */
export interface NextToken {
  sequence: CachedSequence;
  id: number;
}

/** A prompt's pages, and which of its tokens are to be computed: [first, end). */
export interface PromptPart {
  span: PageSpan;
  first: number;
  end: number;
}

/** Computes a part of a prompt into its pages: hidden states (T, D) of its T tokens. */
export function promptHidden(
  { model, cache, dtype }: CachedModel,
  ids: readonly number[],
  { span, first, end }: PromptPart,
): Tensor {
  const count = end - first;
  const stream = {
    ids: onDevice(model, ids.slice(first, end)),
    positions: onDevice(
      model,
      Array.from({ length: count }, (_, i) => first + i),
    ),
    segments: [{ start: 0, end: count, parent: -1 }],
  };
  return model.hiddenStates(stream, dtype, cache.promptPass(span, first));
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
  const sequences = tokens.map(({ sequence }) => sequence);
  const stream = {
    ids: onDevice(
      model,
      tokens.map(({ id }) => id),
    ),
    positions: onDevice(
      model,
      sequences.map(({ prompt, own }) => prompt.length + own.length - 1),
    ),
    segments: [],
  };
  return batchInvariant(() => logitsOf(model, model.hiddenStates(stream, dtype, cache.tokenPass(sequences))));
}

function logitsOf(model: CausalLM, hidden: Tensor): Tensor {
  return ops.to(model.lm_head.forward(hidden), "float32");
}

function onDevice(model: CausalLM, values: readonly number[]): Tensor {
  return ops.to(tensor(values, [values.length], { dtype: "int64" }), model.device, "int64");
}
