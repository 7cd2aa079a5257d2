/**
 * Floating-point operations that training on preference pairs needs: each prompt once where it is shared, the head on
 * completion tokens only, nothing padded. What is computed twice to save memory is counted separately, and so is a reference.
 *
 * A weight costs 2 a token forward, 2 for its input's gradient, and 2 more for its own if it is trained: 6 in full
 * tuning, 4 for a frozen one under an adapter. Attention costs 4·H·E a (query, key) forward and twice that back.
 */

import { weightsOfBlocks } from "../formats/block-linears.ts";
import { headsOf, type ModelConfig } from "../formats/model-config.ts";
import type { TrainedParts } from "./trained-parts.ts";

/** Token counts of one pair, or of a supervised row: then `rejected` is 0. Means of a data set may be fractions. */
export interface PairLengths {
  prompt: number;
  chosen: number;
  rejected: number;
}

/** How a pair is laid out and run. */
export interface FlopsOptions {
  trained: TrainedParts;
  /** The prompt is computed once for both completions. */
  share_prompt: boolean;
  /** Fraction of the blocks that is computed again in the backward pass, 0 to 1. */
  recomputed: number;
  /** Whether the prompt's tokens but the first are predicted too. Default false. */
  predictsPrompts?: boolean;
  /** Whether a KL is estimated on as many tokens again. Default false. */
  estimatesKl?: boolean;
}

/** FLOPs of one pair. */
export interface PairFlops {
  forward: number;
  backward: number;
  /** Forward and back: what utilisation is measured by. */
  training: number;
  /** Blocks computed a second time (gradient_checkpointing). */
  recompute: number;
  /** One forward pass more, where the objective needs a reference. */
  reference: number;
  /** The model's forward pass on a mismatched row, where a KL is estimated; the reference's is one of `reference` besides. 0: none is. */
  kl: number;
}

/** Lengths of a pair's completions: two, or one. */
function completions({ chosen, rejected }: PairLengths): number[] {
  return rejected > 0 ? [chosen, rejected] : [chosen];
}

/** Tokens that go through the layers: nothing is predicted from a completion's last token. */
export function streamTokens(pair: PairLengths, share_prompt: boolean = true): number {
  const prompts = share_prompt ? 1 : completions(pair).length;
  return completions(pair).reduce((sum, n) => sum + n - 1, pair.prompt * prompts);
}

/** Tokens whose log-probability is taken. */
export function completionTokens(pair: PairLengths): number {
  return pair.chosen + pair.rejected;
}

/** Σ min(position, window) over `count` positions from `first` on, counted from 1. */
function seen(first: number, count: number, window: number): number {
  const last = first + count - 1;
  const upTo = (n: number) =>
    n <= window ? (n * (n + 1)) / 2 : (window * (window + 1)) / 2 + (n - window) * window;
  return upTo(last) - upTo(first - 1);
}

/** (query, key) combinations that attention has to look at in a layer; `window` is the tokens a token sees. */
export function attendedPairs(
  pair: PairLengths,
  share_prompt: boolean = true,
  window: number = Number.POSITIVE_INFINITY,
): number {
  const { prompt } = pair;
  const prompts = share_prompt ? 1 : completions(pair).length;
  return completions(pair).reduce(
    (sum, n) => sum + seen(prompt + 1, n - 1, window),
    prompts * seen(1, prompt, window),
  );
}

/** FLOPs of attention's two products over all layers, forward. */
function attentionForward(config: ModelConfig, pair: PairLengths, share_prompt: boolean): number {
  const full = attendedPairs(pair, share_prompt);
  // capped scores are made of all tokens, those outside a window too
  const window = config.design.scoreCap === null ? config.slidingWindow : null;
  const sliding = attendedPairs(pair, share_prompt, window ?? Number.POSITIVE_INFINITY);
  return config.layerKinds.reduce((sum, kind) => {
    const perCombination = 4 * config.numHeads * headsOf(config, kind).headDim;
    return sum + perCombination * (kind === "full" ? full : sliding);
  }, 0);
}

/** FLOPs of one pair. */
export function pairFlops(
  config: ModelConfig,
  pair: PairLengths,
  { trained, share_prompt, recomputed, predictsPrompts = false, estimatesKl = false }: FlopsOptions,
): PairFlops {
  const tokens = streamTokens(pair, share_prompt);
  const headWeights = config.vocabSize * config.hiddenSize;
  const body = 2 * weightsOfBlocks(config).reduce((sum, weights) => sum + weights, 0) * tokens;
  const answers = 2 * headWeights * completionTokens(pair);
  const head = answers + (predictsPrompts ? 2 * headWeights * Math.max(0, pair.prompt - 1) : 0);
  const attention = attentionForward(config, pair, share_prompt);
  const factors = trained.adapted.reduce(
    (sum, { linear, rank }) => sum + rank * (linear.inputs + linear.outputs),
    0,
  );
  const copies = trained.savedLinears.reduce((sum, { linear }) => sum + linear.inputs * linear.outputs, 0);
  const adapters = 2 * factors * tokens;
  const ownGradients = (trained.isFull ? body : 2 * copies * tokens) + (trained.trainsHead ? head : 0);
  const forward = body + adapters + head + attention;
  const backward = body + 2 * adapters + head + 2 * attention + ownGradients;
  return {
    forward,
    backward,
    training: forward + backward,
    recompute: recomputed * (body + adapters + attention),
    reference: body + answers + attention,
    kl: estimatesKl ? body + adapters + answers + attention : 0,
  };
}
