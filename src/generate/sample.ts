/**
 * Answers drawn from a model for many prompts at once: greedy, or by sampling at a temperature. A batch is a packed
 * stream in which all answers to a prompt share it. Every token is computed from the whole text before it, without a
 * cache of keys and values: right for small models and short answers.
 */
import { ConfigError } from "../base/errors.ts";
import { deriveSeed, Random } from "../base/random.ts";
import type { CausalLM, TokenStream } from "../models/causal-lm.ts";
import type { Segment } from "../nn/packed-attention.ts";
import { type DType, noGrad, ops, scope, type Tensor, tensor } from "../torch/index.ts";

/** How to draw answers. */
export interface SamplingOptions {
  /** Divides the logits before the softmax; 0 takes the likeliest token each time. */
  temperature: number;
  /** Longest answer, in tokens. */
  maxNewTokens: number;
  /** Tokens that end an answer. They are not part of it. */
  stopIds: ReadonlySet<number>;
  /** Decides the draws. */
  seed: number;
  /** Answers to each prompt; default 1. */
  answersPerPrompt?: number;
  /** Prompts computed together; default 16. */
  promptsAtOnce?: number;
  /** Type of the activations; default that of the embedding. */
  dtype?: DType;
}

/** One answer. */
export interface SampledAnswer {
  /** Index of its prompt. */
  prompt: number;
  /** Tokens of the answer, without the one that ended it. */
  ids: number[];
  /** The token that ended it, or null when it was cut at `maxNewTokens`. */
  stopId: number | null;
}

/** An answer under way. */
interface Draft extends SampledAnswer {
  random: Random;
}

/**
 * Answers to `prompts` (token ids), in order of the prompts.
 *
 * Each answer has random numbers of its own, from the seed and its place: what else is in the batch does not change it.
 *
 * @throws {ConfigError} if a prompt is empty or an option is out of range
 */
export function sampleAnswers(
  model: CausalLM,
  prompts: readonly (readonly number[])[],
  options: SamplingOptions,
): SampledAnswer[] {
  const { answersPerPrompt = 1, promptsAtOnce = 16 } = options;
  checkOptions(prompts, options);
  const drafts = prompts.flatMap((_, prompt) =>
    Array.from({ length: answersPerPrompt }, (_, i): Draft => {
      const random = new Random(deriveSeed(options.seed, prompt * answersPerPrompt + i));
      return { prompt, ids: [], stopId: null, random };
    }),
  );
  const perBatch = promptsAtOnce * answersPerPrompt;
  for (let first = 0; first < drafts.length; first += perBatch) {
    finishBatch(model, prompts, drafts.slice(first, first + perBatch), options);
  }
  return drafts.map(({ prompt, ids, stopId }) => ({ prompt, ids, stopId }));
}

function checkOptions(prompts: readonly (readonly number[])[], options: SamplingOptions): void {
  const empty = prompts.findIndex((ids) => ids.length === 0);
  if (empty >= 0) throw new ConfigError(`prompt ${empty}: expected at least one token, got none.`);
  if (!(options.temperature >= 0 && Number.isFinite(options.temperature))) {
    throw new ConfigError(`temperature: expected a number of at least 0, got ${options.temperature}.`);
  }
  const { answersPerPrompt = 1, promptsAtOnce = 1, maxNewTokens } = options;
  for (const [name, value] of Object.entries({ maxNewTokens, answersPerPrompt, promptsAtOnce })) {
    if (Number.isSafeInteger(value) && value >= 1) continue;
    throw new ConfigError(`${name}: expected a whole number of at least 1, got ${value}.`);
  }
}

/** Adds a token to every answer until all have ended; those that have leave the stream. */
function finishBatch(
  model: CausalLM,
  prompts: readonly (readonly number[])[],
  batch: readonly Draft[],
  options: SamplingOptions,
): void {
  const dtype = options.dtype ?? model.model.embed_tokens.weight.dtype;
  let open = [...batch];
  for (let step = 0; step < options.maxNewTokens && open.length > 0; step++) {
    const next = nextTokens(model, packDrafts(prompts, open), open, { ...options, dtype });
    open.forEach((draft, i) => {
      const id = next[i] as number;
      if (options.stopIds.has(id)) draft.stopId = id;
      else draft.ids.push(id);
    });
    open = open.filter((draft) => draft.stopId === null);
  }
}

/** Plain arrays of a stream; `last` holds each answer's position from which its next token is predicted. */
interface PackedDrafts {
  ids: number[];
  positions: number[];
  segments: Segment[];
  last: number[];
}

function packDrafts(prompts: readonly (readonly number[])[], drafts: readonly Draft[]): PackedDrafts {
  const packed: PackedDrafts = { ids: [], positions: [], segments: [], last: [] };
  let current = -1;
  let parent = -1;
  let promptEnd = 0;
  for (const draft of drafts) {
    const prompt = prompts[draft.prompt] as readonly number[];
    if (draft.prompt !== current) {
      current = draft.prompt;
      parent = append(packed, prompt, { position: 0, parent: -1 });
      promptEnd = packed.ids.length;
    }
    if (draft.ids.length > 0) append(packed, draft.ids, { position: prompt.length, parent });
    packed.last.push((draft.ids.length > 0 ? packed.ids.length : promptEnd) - 1);
  }
  return packed;
}

/** Index of the new segment. */
function append(
  packed: PackedDrafts,
  ids: readonly number[],
  { position, parent }: { position: number; parent: number },
): number {
  const start = packed.ids.length;
  packed.ids.push(...ids);
  packed.positions.push(...ids.map((_, i) => position + i));
  return packed.segments.push({ start, end: packed.ids.length, parent }) - 1;
}

function nextTokens(
  model: CausalLM,
  packed: PackedDrafts,
  drafts: readonly Draft[],
  { temperature, dtype }: { temperature: number; dtype: DType },
): number[] {
  using _ = scope();
  return noGrad(() => {
    const { device } = model;
    const place = (values: readonly number[]): Tensor =>
      ops.toDevice(tensor(values, [values.length], { dtype: "int64" }), device, "int64");
    const stream: TokenStream = {
      ids: place(packed.ids),
      positions: place(packed.positions),
      segments: packed.segments,
    };
    const hidden = ops.indexSelect(model.hiddenStates(stream, dtype), 0, place(packed.last));
    const logits = ops.toDtype(model.lm_head.forward(hidden), "float32");
    if (temperature === 0) return onCpu(ops.argmax(logits, -1)).toNumbers();
    const probabilities = ops.softmaxInt(ops.divScalar(logits, temperature), -1);
    const values = onCpu(probabilities).data() as Float32Array;
    const size = logits.size(1);
    return drafts.map(({ random }, i) => draw(values.subarray(i * size, (i + 1) * size), random.next()));
  });
}

function onCpu(values: Tensor): Tensor {
  return ops.contiguous(ops.toDevice(values, "cpu", values.dtype));
}

/** The index at which the running sum of `probabilities` passes `u` of their total. */
function draw(probabilities: Float32Array, u: number): number {
  let total = 0;
  for (const p of probabilities) total += p;
  let rest = u * total;
  let last = 0;
  for (const [id, p] of probabilities.entries()) {
    if (p === 0) continue;
    rest -= p;
    last = id;
    if (rest < 0) return id;
  }
  return last;
}
