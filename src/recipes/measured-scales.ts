/** What a model does to held-out pairs at each of several scales, between the start of its training (0) and the result (1). */
import { at } from "../base/at.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { alone } from "../base/ranks.ts";
import type { RunConfig } from "../config/run-config.ts";
import { CompletionValues } from "../data/completion-values.ts";
import { type Example, promptOf } from "../data/example.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { isTunedModel, readAdapter } from "../formats/adapter.ts";
import { scaledPlace } from "../formats/adapter-scale.ts";
import type { Quantisation } from "../formats/quantisation.ts";
import type { Environment } from "../forward/environment.ts";
import type { Numerics } from "../forward/numerics.ts";
import { scoreBatch } from "../forward/score-batch.ts";
import { sampleCompletions } from "../generate/sample.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadModel } from "../models/load.ts";
import { installAdapter } from "../models/load-adapter.ts";
import { modelAtScale } from "../models/model-at-scale.ts";
import { shareWeights } from "../models/share-weights.ts";
import type { ScaleRecord, ScaleRow, ScaleRule } from "../runs/scale-record.ts";
import { scope } from "../torch/index.ts";
import { displacement, pairAccuracy, pairChanges } from "../train/displacement.ts";
import type { PreparedData } from "../train/prepare-data.ts";
import { exchangeFound, shareOf } from "../train/row-shares.ts";
import { chosenScale, type Halves, type MeasuredScale } from "../train/scale-choice.ts";
import { evaluationBatches } from "../train/step-source.ts";
import { damage, joinedTokens, type TokenLogps, tokenChanges } from "../train/token-changes.ts";
import { type OtherText, type OtherTextMeasure, otherTextMeasure } from "./other-text.ts";

/** What is measured, and on what. */
export interface ScaleWork {
  /** How rows are batched, and where the base's embedding is. */
  config: Pick<
    RunConfig,
    "per_device_eval_batch_size" | "share_prompt" | "logits_chunk_size" | "offload_embedding"
  >;
  /** With held-out pairs. */
  data: PreparedData;
  environment: Environment;
  /** Directory of the model that the training began with. */
  start: string;
  /** Directory of the adapter, or of the fully tuned model. */
  trained: string;
  /** How the start's linears are held; null: as they are stored. */
  quantise: Quantisation | null;
  other: OtherText | null;
  /** Prompts that are answered at each scale, greedily. */
  prompts: number;
  /** Picks a scale of these; null: none is picked. */
  choose: { rule: ScaleRule; halves: Halves; among: readonly number[] } | null;
  /** The ranks that share the rows, each with the whole model, and all of which get what was measured; null: this process is the only one. */
  group: RankGroup | null;
}

/** What was measured at each scale, the start first. */
export type Measurements = readonly (MeasuredScale & { row: ScaleRow })[];

/** Longest answer that is shown, in tokens. */
const longestAnswer = 64;

/** The scales in order, each once, with the start, which the others are compared with. */
export function withStart(scales: readonly number[]): number[] {
  return [...new Set([0, ...scales])].sort((a, b) => a - b);
}

/** What measuring costs, before it begins. */
export function scaleCost(scales: readonly number[], work: ScaleWork): string {
  const { config, other, prompts, trained, group } = work;
  const held = work.data.dataset.evalExamples ?? [];
  const tokensOf = (examples: readonly Example[]): string =>
    evaluationBatches(examples, config)
      .reduce((sum, { packed }) => sum + packed.ids.length, 0)
      .toLocaleString("en-US");
  const parts = [
    `${scales.length} scales: as many passes over ${held.length} pairs, ${tokensOf(held)} tokens each`,
    ...(other === null ? [] : [`and over other text, ${tokensOf(other.examples)} tokens each`]),
  ];
  const asked = Math.min(prompts, promptsOf(held).length);
  if (asked > 0) parts.push(`${asked} answers of up to ${longestAnswer} tokens at each`);
  parts.push(
    isTunedModel(trained)
      ? "start and result are read once, and all weights mixed at each scale"
      : "the base is read once, the adapter at each scale",
  );
  if (group !== null) parts.push(`rows and answers are divided among ${group.size} ranks`);
  return parts.join("; ");
}

/**
 * Measures the scales: rows as they were tokenised, the pass at 0 for all of them.
 *
 * @param scales - ascending, from 0
 */
export async function measuredScales(
  scales: readonly number[],
  work: ScaleWork,
  onPhase: PhaseListener,
): Promise<Measurements> {
  using _ = scope();
  const examples = work.data.dataset.evalExamples ?? [];
  const modelAt = opened(work);
  const measured: Measurements[number][] = [];
  let start: Pass | null = null;
  for (const [i, scale] of scales.entries()) {
    onPhase("scales measured", i, scales.length);
    using _ = scope();
    const model = modelAt(scale);
    const now = pass(model, work, examples);
    start ??= now;
    measured.push(
      described(scale, { start, now, examples, answers: await answersOf(model, work, examples) }),
    );
  }
  onPhase("scales measured", scales.length, scales.length);
  return measured;
}

/** What is kept of it, with the scale that the rule picks. @throws {ConfigError} if no scale meets the rule's bounds */
export function scaleRecord(measured: Measurements, { choose, other, data }: ScaleWork): ScaleRecord {
  // the start is measured in any case, and chosen only where it was asked for
  const asked = measured.filter(({ scale }) => choose?.among.includes(scale));
  return {
    pairs: data.dataset.evalExamples?.length ?? 0,
    other_text: other?.name ?? null,
    rows: measured.map(({ row }) => row),
    choice: choose === null ? null : chosenScale(asked, choose.rule, choose.halves),
  };
}

/** What gives the model at a scale; each lives until the caller's scope ends. */
function opened({
  start,
  trained,
  quantise,
  environment,
  data,
  config: { offload_embedding },
}: ScaleWork): (scale: number) => CausalLM {
  const { device, dtype } = environment;
  if (isTunedModel(trained)) {
    const models = { start: loadModel(start, { device }), trained: loadModel(trained, { device }) };
    // what is measured is what an export at the scale holds: rounded as its files are
    return (scale) => modelAtScale(models, scale, dtype, data.modelConfig.dtype);
  }
  const base = loadModel(start, { device, dtype, quantise, offload_embedding });
  return (scale) => {
    const shared = shareWeights(base);
    installAdapter(shared, readAdapter(scaledPlace(trained, scale)));
    return shared;
  };
}

/** All log-probs at a scale. */
interface Pass {
  tokens: TokenLogps;
  means: CompletionValues;
  /** Of other text; null where there is none. */
  other: number | null;
}

function pass(model: CausalLM, work: ScaleWork, examples: readonly Example[]): Pass {
  const { config, group } = work;
  const numerics = numericsOf(work);
  const means = new CompletionValues(examples);
  const tokens = examples.map(() => [] as Float32Array[]);
  const share = shareOf(evaluationBatches(examples, config), group);
  for (const batch of share) {
    // each rank has the whole model: none waits for one that has nothing to do
    if (batch.isIdle === true) continue;
    for (const { index, completion, sum, logps } of scoreBatch(model, batch, numerics)) {
      means.of(index)[completion] = sum / logps.length;
      at(tokens, index)[completion] = logps;
    }
  }
  if (group !== null) exchangeFound(group, null, share, { means, tokens });
  const ranks = group === null ? null : { group };
  const other: OtherTextMeasure | null = otherTextMeasure(work.other, { model, numerics, ranks }, config);
  return { tokens, means, other: other?.mean() ?? null };
}

/** How models at a scale are computed. */
export function numericsOf({
  environment: { dtype },
  config: { logits_chunk_size },
}: Pick<ScaleWork, "environment" | "config">): Numerics {
  return { dtype, gradient_checkpointing: false, logits_chunk_size };
}

/** Different ones, in the order of the rows. */
function promptsOf(examples: readonly Example[]): (readonly number[])[] {
  return [...new Map(examples.map(promptOf).map((ids) => [ids.join(" "), ids])).values()].filter(
    ({ length }) => length > 0,
  );
}

async function answersOf(
  model: CausalLM,
  work: ScaleWork,
  examples: readonly Example[],
): Promise<ScaleRow["answers"]> {
  const prompts = promptsOf(examples).slice(0, work.prompts);
  if (prompts.length === 0) return [];
  const { stopIds, tokenizer } = work.data;
  const { dtype } = work.environment;
  const { group } = work;
  const { rank, size } = group ?? alone;
  const sampling = { temperature: 0, maxNewTokens: longestAnswer, seed: 0, stopIds, dtype };
  const own = await sampleCompletions(model, prompts, { ...sampling, share: { rank, size } });
  const drawn = own.map(({ prompt, ids }) => ({ prompt, ids }));
  const answers = (group ?? alone).gather(drawn).flat();
  return answers
    .sort((a, b) => a.prompt - b.prompt)
    .map(({ prompt, ids }) => ({
      prompt: tokenizer.decode(at(prompts, prompt), { skipSpecialTokens: true }),
      answer: tokenizer.decode(ids, { skipSpecialTokens: false }),
    }));
}

/** What a scale is described from. */
interface Measured {
  start: Pass;
  now: Pass;
  examples: readonly Example[];
  answers: ScaleRow["answers"];
}

function described(scale: number, { start, now, examples, answers }: Measured): Measurements[number] {
  const changes = tokenChanges(joinedTokens(start.tokens), now.tokens, examples);
  const figures: Record<string, number> = {
    ...displacement(start.means, now.means),
    ...pairAccuracy(now.means),
    ...damage(changes),
  };
  if (now.other !== null && start.other !== null) {
    figures["displacement/other_text_change"] = now.other - start.other;
  }
  const pairs = pairChanges(start.means, now.means);
  return { scale, pairs, changes, row: { scale, figures, answers } };
}
