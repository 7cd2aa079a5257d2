/** `preftune evaluate diversity`: metrics of completions, sampled from a model or read from a file. */
import { extname } from "node:path";
import { ConfigError } from "../../base/errors.ts";
import { writeFileAtomic } from "../../base/files.ts";
import type { PhaseListener } from "../../base/phase-listener.ts";
import { deriveSeed } from "../../base/random.ts";
import { checkPromptLengths, type Prompt, readPrompts, tellFirstTurns } from "../../data/prompt-file.ts";
import { contextLength } from "../../formats/model-config.ts";
import { type EnvironmentOptions, settleEnvironment } from "../../forward/environment.ts";
import { type SamplingOptions, sampleCompletions } from "../../generate/sample.ts";
import { withLocalModels } from "../../hub/hub-model.ts";
import type { CausalLM } from "../../models/causal-lm.ts";
import { loadModel } from "../../models/load.ts";
import { checkAdaptedBase } from "../../runs/adapted-base.ts";
import { tellOtherThinking } from "../../runs/trained-thinking.ts";
import { openText } from "../../text/open-text.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import { tellOtherTemplate } from "../../text/trained-template.ts";
import { type DType, scope } from "../../torch/index.ts";
import { completionEntropies } from "./completion-entropies.ts";
import { readCompletions } from "./completions-file.ts";
import {
  type AnsweredPrompt,
  type DiversityResult,
  diversityOf,
  type SampledText,
  type Unit,
} from "./diversity.ts";

/** The model and how it is sampled. */
export interface SampledSource extends EnvironmentOptions {
  model: string;
  adapter?: string | null;
  /** File of prompts; see `readPrompts`. */
  prompts: string;
  /** No more than so many prompts, the first ones; null: all. */
  limit: number | null;
  /** Answers to each prompt. */
  samples: number;
  temperature: number;
  /** Longest answer, in tokens. */
  maxNewTokens: number;
  seed: number;
  /** Plain text is continued verbatim, without the chat template. */
  isPlain?: boolean;
  chatTemplate?: string | null;
  enableThinking?: boolean | null;
  onPhase?: PhaseListener;
}

/** The source of completions: a file, or a model. */
export type DiversitySource = { answers: string } | SampledSource;

/** The metrics, with the completions that they are of. */
export interface DiversityReport extends DiversityResult {
  answered: readonly AnsweredPrompt[];
}

/** Prompts completed at once; the batch does not change a completion. */
const promptsAtOnce = 32;

/**
 * The metrics of `source`'s answers, all together and prompt by prompt.
 *
 * @throws {DataError} if a row of the file is faulty or a prompt does not fit the model
 * @throws {ConfigError} if answers of a file are to be counted in tokens
 */
export async function evaluateDiversity(source: DiversitySource, unit: Unit): Promise<DiversityReport> {
  if ("answers" in source) {
    if (unit === "tokens") {
      throw new ConfigError(
        "unit: answers of a file have words; tokens are counted for a model's answers only.",
      );
    }
    const answered = await readCompletions(source.answers);
    return { ...diversityOf(answered, unit), answered };
  }
  const answered = await sampleFile(source);
  return { ...diversityOf(answered, unit), answered };
}

async function sampleFile(given: SampledSource): Promise<AnsweredPrompt[]> {
  const options = await withLocalModels(given);
  const { device, dtype } = settleEnvironment(options);
  const { isPlain = false, chatTemplate = null, enableThinking = null, limit } = options;
  await using text = await openText(options.model, { chatTemplate, enableThinking });
  const { config, tokenizer, encoder, stopIds } = text;
  const prompts = await readPrompts(options.prompts, encoder, { isPlain, limit });
  tellFirstTurns(options.prompts, prompts);
  checkPromptLengths(prompts, options.maxNewTokens, contextLength(config));
  using _ = scope();
  const { model: dir, adapter = null } = options;
  checkAdaptedBase({ model: dir, adapter }, false);
  tellOtherTemplate({ model: dir, adapter, chatTemplate });
  tellOtherThinking({ model: dir, adapter, enableThinking });
  const model = loadModel(dir, { device, dtype, adapter });
  const answered: AnsweredPrompt[] = [];
  for (let first = 0; first < prompts.length; first += promptsAtOnce) {
    const part = prompts.slice(first, first + promptsAtOnce);
    const sampling = {
      temperature: options.temperature,
      maxNewTokens: options.maxNewTokens,
      stopIds,
      seed: deriveSeed(options.seed, first),
      answersPerPrompt: options.samples,
      promptsAtOnce,
      dtype,
    };
    answered.push(...(await samplePart(model, tokenizer, part, sampling)));
    options.onPhase?.("prompts answered", first + part.length, prompts.length);
  }
  return answered;
}

/** Completions of a part of the prompts, with their entropies. */
async function samplePart(
  model: CausalLM,
  tokenizer: Tokenizer,
  part: readonly Prompt[],
  sampling: SamplingOptions & { dtype: DType },
): Promise<AnsweredPrompt[]> {
  const ids = part.map((prompt) => prompt.ids);
  const sampled = await sampleCompletions(model, ids, sampling);
  const numerics = { dtype: sampling.dtype, gradient_checkpointing: false, logits_chunk_size: null };
  const entropies = completionEntropies(model, ids, sampled, numerics);
  const completions = sampled.map(
    (answer, i): SampledText => ({
      text: tokenizer.decode(answer.ids, { skipSpecialTokens: false }),
      ended: answer.stopId !== null,
      ids: answer.ids,
      entropies: entropies[i] ?? [],
    }),
  );
  return part.map(({ text }, index) => ({
    prompt: text,
    answers: completions.filter((_, i) => sampled[i]?.prompt === index),
  }));
}

/**
 * Writes the metrics: all of them as one object (`.json`), or a line a prompt (`.jsonl`), which can be read again as answers.
 * A metric that is not known is null.
 *
 * @throws {ConfigError} if the name ends otherwise
 */
export function writeDiversity(path: string, report: DiversityReport): void {
  const perPrompt = report.perPrompt.map(({ prompt, metrics, faults }, i) => ({
    // several may have the same text, or none
    prompt_number: i + 1,
    prompt,
    answers: report.answered[i]?.answers.map(({ text, ended }) => ({ text, ended })) ?? [],
    metrics: withoutNaN(metrics),
    faults: withoutNaN(faults),
  }));
  const { prompts, answers, metrics, faults } = report.all;
  const all = {
    unit: report.unit,
    prompts,
    answers,
    metrics: withoutNaN(metrics),
    faults: withoutNaN(faults),
  };
  if (formatOf(path) === "jsonl") {
    writeFileAtomic(path, perPrompt.map((row) => `${JSON.stringify(row)}\n`).join(""));
  } else {
    writeFileAtomic(path, `${JSON.stringify({ ...all, per_prompt: perPrompt }, null, 2)}\n`);
  }
}

/**
 * The form that a file's name asks for.
 *
 * @throws {ConfigError} if it is no such name
 */
export function formatOf(path: string): "json" | "jsonl" {
  const ending = extname(path);
  if (ending === ".json") return "json";
  if (ending === ".jsonl") return "jsonl";
  throw new ConfigError(`--output: expected a name that ends in .json or .jsonl, got "${path}".`);
}

function withoutNaN(metrics: Readonly<Record<string, number>>): Record<string, number | null> {
  return Object.fromEntries(
    Object.entries(metrics).map(([name, value]) => [name, Number.isNaN(value) ? null : value]),
  );
}
