/** What a trained model makes of the held-out pairs: how likely it finds their answers, and what it answers itself. */
import type { PhaseListener } from "../base/phase-listener.ts";
import type { Example } from "../data/example.ts";
import { packExamples } from "../data/packing.ts";
import { scoreBatch } from "../forward/score-batch.ts";
import { sampleCompletions } from "../generate/sample.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadModel } from "../models/load.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { prepareData, rowsOf } from "../train/prepare-data.ts";

/** Held-out metrics of one model; a pair's place is its line in the file. */
export interface Measurement {
  /** Mean log-probability per token of each chosen answer, nats. */
  chosen: number[];
  /** The same of the rejected answers. */
  rejected: number[];
  answers: HeldOutAnswer[];
}

/** An answer of the model to a held-out prompt. */
export interface HeldOutAnswer {
  /** Place of the pair. */
  pair: number;
  ids: number[];
  text: string;
  /** The token that ended it, or null when it was cut. */
  stopId: number | null;
}

/** How to measure. */
export interface MeasureOptions {
  /** Directory of the model. */
  model: string;
  /** File of the held-out pairs. */
  heldOut: string;
  /** Longest prompt and answer, tokens. */
  maxLength: number;
  seed: number;
  answersPerPrompt: number;
  onPhase: PhaseListener;
}

/** Longest answer, in tokens; the longest right one has about 35. */
const maxNewTokens = 64;
/** Pairs computed together. */
const pairsAtOnce = 32;

/** Scores the held-out pairs with a model and lets it answer their prompts at temperature 1. */
export async function measure({
  model: dir,
  heldOut,
  maxLength,
  seed,
  answersPerPrompt,
  onPhase,
}: MeasureOptions): Promise<Measurement> {
  const { dataset, tokenizer, stopIds } = await prepareData(
    rowsOf(heldOut, { model_name_or_path: dir, task: "preference", max_length: maxLength }),
  );
  const { examples } = dataset;
  const model = loadModel(dir);
  const chosen: number[] = [];
  const rejected: number[] = [];
  const answers: HeldOutAnswer[] = [];
  for (let first = 0; first < examples.length; first += pairsAtOnce) {
    const part = examples.slice(first, first + pairsAtOnce);
    for (const mean of meanLogps(model, part)) (mean.completion === 0 ? chosen : rejected).push(mean.value);
    const sampling = {
      temperature: 1,
      maxNewTokens,
      stopIds,
      seed: seed + first,
      answersPerPrompt,
      promptsAtOnce: pairsAtOnce,
    };
    answers.push(...(await answerAll(model, tokenizer, { part, first, sampling })));
    onPhase("held-out questions answered", first + part.length, examples.length);
  }
  return { chosen, rejected, answers };
}

function meanLogps(model: CausalLM, examples: readonly Example[]): { completion: number; value: number }[] {
  const batch = { packed: packExamples(examples), indices: examples.map((_, i) => i) };
  const scores = scoreBatch(model, batch, {
    dtype: "float32",
    gradient_checkpointing: false,
    logits_chunk_size: null,
  });
  return scores.map(({ completion, sum, logps }) => ({ completion, value: sum / logps.length }));
}

interface Asked {
  part: readonly Example[];
  /** Place of the first pair of `part`. */
  first: number;
  sampling: Parameters<typeof sampleCompletions>[2];
}

async function answerAll(
  model: CausalLM,
  tokenizer: Tokenizer,
  { part, first, sampling }: Asked,
): Promise<HeldOutAnswer[]> {
  const prompts = part.map((example) => example.promptIds);
  const sampled = await sampleCompletions(model, prompts, sampling);
  return sampled.map(({ prompt, ids, stopId }) => ({
    pair: first + prompt,
    ids,
    stopId,
    text: tokenizer.decode(ids, { skipSpecialTokens: false }),
  }));
}
