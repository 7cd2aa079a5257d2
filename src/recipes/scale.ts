/** `preftune scale`: what a run's model does to held-out pairs at each of several scales, between its start (0) and its result (1). */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { readSealed } from "../base/sealed.ts";
import type { RunConfig } from "../config/run-config.ts";
import { CompletionValues } from "../data/completion-values.ts";
import type { Example } from "../data/example.ts";
import { rowKeyOf } from "../data/fingerprint.ts";
import { readAdapter } from "../formats/adapter.ts";
import { checkedScale, scaledPlace } from "../formats/adapter-scale.ts";
import type { MicroBatch } from "../forward/batch.ts";
import { numericsOf, settleEnvironment } from "../forward/environment.ts";
import type { Numerics } from "../forward/numerics.ts";
import { scoreBatch } from "../forward/score-batch.ts";
import { sampleCompletions } from "../generate/sample.ts";
import { resolveModelDirectory } from "../hub/hub-model.ts";
import { methodOf } from "../methods/index.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadModel } from "../models/load.ts";
import { installAdapter, interpolate } from "../models/load-adapter.ts";
import { shareWeights } from "../models/share-weights.ts";
import { namedTensors } from "../nn/module.ts";
import { meanInterval } from "../report/displacement-section.ts";
import { writeReport } from "../report/run-report.ts";
import { runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import type { ScaleRecord, ScaleRow } from "../runs/scale-record.ts";
import { type DType, noGrad, scope } from "../torch/index.ts";
import { displacement, pairAccuracy, pairChanges } from "../train/displacement.ts";
import { type PreparedData, prepareData } from "../train/prepare-data.ts";
import { chosenScale, halvesOf, type MeasuredScale, type ScaleRule } from "../train/scale-choice.ts";
import { evaluationBatches } from "../train/step-source.ts";
import { damage, joinedTokens, type TokenLogps, tokenChanges } from "../train/token-changes.ts";
import { type GgufOrigin, ggufOrigin } from "./gguf-source.ts";
import { otherTextMeasure, otherTextOf } from "./other-text.ts";

/** What is measured. */
export interface ScaleOptions {
  /** Directory of a finished run over pairs, with held-out rows. */
  run: string;
  /** Between 0 and 2; 0 is measured in any case. */
  scales: readonly number[];
  /** Picks a scale; null: none is picked. */
  choose?: ScaleRule | null;
  /** Prompts that are answered at each scale, greedily. Default 2. */
  prompts?: number;
  device?: string;
  threads?: number | null;
  onPhase?: PhaseListener;
  /** Called with what it will cost, before the first pass. */
  onCost?: (cost: string) => void;
}

/** Longest answer that is shown, in tokens. */
const longestAnswer = 64;

/**
 * Measures the scales, and writes `scale.json` and the report of the run. Rows are tokenised once, and the pass at 0 serves all others.
 *
 * @throws {ConfigError} for a scale outside [0, 2], a run without held-out pairs, a rule that no scale meets; nothing is written then
 * @throws {FileError} for a run that has exported nothing, or whose start is gone
 */
export async function measureScales(options: ScaleOptions): Promise<ScaleRecord> {
  const { run, onPhase = () => {}, onCost = () => {}, choose = null } = options;
  const scales = scalesOf(options.scales);
  const origin = await ggufOrigin(run, { adapter: null, quantise: null }, onPhase);
  if (origin.run === null) throw new ConfigError(`${run}: expected the directory of a run, got a model.`);
  const config = { ...origin.run, model_name_or_path: origin.model };
  if (methodOf(config.method.objective).over !== "pairs") {
    throw new ConfigError(`${run}: expected a run over pairs, got ${config.method.objective}.`);
  }
  const start = await startOf(run, onPhase);
  const environment = settleEnvironment({
    device: options.device ?? "auto",
    threads: options.threads ?? null,
    dtype: config.dtype,
  });
  const data = await prepareData({ ...config, task: "preference" }, onPhase);
  const examples = data.dataset.evalExamples ?? [];
  if (examples.length < 2) {
    throw new ConfigError(
      `${run}: expected held-out pairs, got ${examples.length}. Scales are compared on them: train with eval_data or eval_fraction.`,
    );
  }
  const batches = evaluationBatches(examples, config);
  const tokens = batches.reduce((sum, { packed }) => sum + packed.ids.length, 0);
  onCost(
    `${scales.length} scales: as many passes over ${examples.length} pairs, ${tokens.toLocaleString("en-US")} tokens each, and ${options.prompts ?? 2} answers at each`,
  );
  using _ = scope();
  const models = openModels(origin, start, { device: environment.device, dtype: environment.dtype });
  const numerics = numericsOf(config, environment);
  const held = { config, data, examples, batches, numerics };
  const other = await otherTextOf(config, data, null, onPhase);
  const measured: (MeasuredScale & { row: ScaleRow })[] = [];
  let before: Start | null = null;
  for (const [i, scale] of scales.entries()) {
    onPhase("scales measured", i, scales.length);
    using _ = scope();
    const model = models.at(scale);
    const now = pass(model, held);
    const otherMean = otherTextMeasure(other, { model, numerics }, config)?.mean() ?? null;
    before ??= { tokens: joinedTokens(now.tokens), means: now.means, other: otherMean };
    const answers = await answersOf(model, held, options.prompts ?? 2);
    measured.push(described(scale, now, { start: before, examples, other: otherMean, answers }));
  }
  onPhase("scales measured", scales.length, scales.length);
  const choice =
    choose === null
      ? null
      : chosenScale(measured, choose, {
          ...halvesOf(examples.map(rowKeyOf)),
          interval: meanInterval,
        });
  const record: ScaleRecord = {
    pairs: examples.length,
    other_text: other?.name ?? null,
    rows: measured.map(({ row }) => row),
    choice,
  };
  writeFileAtomic(join(run, "scale.json"), `${stringifyNumbers(record)}\n`);
  writeReport(runPaths(run).dir);
  return record;
}

/** The model that the run began with. @throws {ConfigError} if that was an adapter, which no scale leads back to */
async function startOf(run: string, onPhase: PhaseListener): Promise<string> {
  const paths = runPaths(run);
  const { config } = readRunJson(paths.runJson);
  if (config.adapter_name_or_path !== null) {
    throw new ConfigError(
      `${run}: the run began with the adapter ${config.adapter_name_or_path}, and scale 0 would be the model without any. Merge that adapter and train on the result.`,
    );
  }
  const pinned = join(paths.dir, "models.json");
  const known = existsSync(pinned) ? (readSealed(pinned) as Record<string, string>) : {};
  return resolveModelDirectory(known["model_name_or_path"] ?? config.model_name_or_path, { onPhase });
}

/** The scales in order, each once, with the start. */
function scalesOf(given: readonly number[]): number[] {
  for (const scale of given) checkedScale(scale, "--scales");
  return [...new Set([0, ...given])].sort((a, b) => a - b);
}

interface Held {
  config: RunConfig;
  data: PreparedData;
  examples: readonly Example[];
  batches: readonly MicroBatch[];
  numerics: Numerics;
}

interface Start {
  tokens: Float32Array;
  means: CompletionValues;
  other: number | null;
}

interface Pass {
  tokens: TokenLogps;
  means: CompletionValues;
}

/** What gives the model at a scale; each lives until the caller's scope ends. */
function openModels(
  { model, adapter, quantise }: GgufOrigin,
  start: string,
  load: { device: string; dtype: DType },
): { at: (scale: number) => CausalLM } {
  if (adapter !== null) {
    const base = loadModel(model, { ...load, quantise });
    return {
      at: (scale) => {
        const shared = shareWeights(base);
        installAdapter(shared, readAdapter(scaledPlace(adapter, scale)));
        return shared;
      },
    };
  }
  return {
    at: (scale) => {
      const trained = loadModel(model, { ...load, copy: true });
      if (scale === 1) return trained;
      using _ = scope();
      const starts = new Map(namedTensors(loadModel(start, load)));
      for (const [name, tensor] of namedTensors(trained)) {
        const start = starts.get(name);
        if (start !== undefined) noGrad(() => interpolate(tensor, start, scale));
      }
      return trained;
    },
  };
}

/** Log-probs of all held-out tokens. */
function pass(model: CausalLM, { batches, examples, numerics }: Held): Pass {
  const means = new CompletionValues(examples);
  const tokens = examples.map(() => [] as Float32Array[]);
  for (const batch of batches) {
    for (const { index, completion, sum, logps } of scoreBatch(model, batch, numerics)) {
      means.of(index)[completion] = sum / logps.length;
      at(tokens, index)[completion] = logps;
    }
  }
  return { tokens, means };
}

async function answersOf(
  model: CausalLM,
  { examples, data, numerics }: Held,
  count: number,
): Promise<ScaleRow["answers"]> {
  const prompts = [
    ...new Map(examples.map(({ promptIds }) => [promptIds.join(" "), promptIds])).values(),
  ].slice(0, count);
  if (prompts.length === 0) return [];
  const { stopIds, tokenizer } = data;
  const sampling = { temperature: 0, maxNewTokens: longestAnswer, seed: 0, stopIds, dtype: numerics.dtype };
  const answers = await sampleCompletions(model, prompts, sampling);
  return answers.map(({ prompt, ids }) => ({
    prompt: tokenizer.decode(at(prompts, prompt), { skipSpecialTokens: true }),
    answer: tokenizer.decode(ids, { skipSpecialTokens: false }),
  }));
}

function described(
  scale: number,
  { tokens, means }: Pass,
  {
    start,
    examples,
    other,
    answers,
  }: { start: Start; examples: readonly Example[]; other: number | null; answers: ScaleRow["answers"] },
): MeasuredScale & { row: ScaleRow } {
  const changes = tokenChanges(start.tokens, tokens, examples);
  const pairs = pairChanges(start.means, means);
  const figures: Record<string, number> = {
    ...displacement(start.means, means),
    ...pairAccuracy(means),
    ...damage(changes),
  };
  if (other !== null && start.other !== null) figures["displacement/other_text_change"] = other - start.other;
  return { scale, pairs, changes, row: { scale, figures, answers } };
}
