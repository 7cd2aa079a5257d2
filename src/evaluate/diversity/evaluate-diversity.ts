/** `preftune evaluate diversity`: figures of the answers that a model gives, or that a file holds. */
import { extname } from "node:path";
import { ConfigError } from "../../base/errors.ts";
import { writeFileAtomic } from "../../base/files.ts";
import type { PhaseListener } from "../../base/phase-listener.ts";
import { deriveSeed } from "../../base/random.ts";
import { checkPromptLengths, type Prompt, readPrompts, tellFirstTurns } from "../../data/prompt-file.ts";
import { type EnvironmentOptions, settleEnvironment } from "../../forward/environment.ts";
import { type SamplingOptions, sampleAnswers } from "../../generate/sample.ts";
import { withLocalModels } from "../../hub/hub-model.ts";
import type { CausalLM } from "../../models/causal-lm.ts";
import { loadModel } from "../../models/load.ts";
import { openText } from "../../text/open-text.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import { type DType, scope } from "../../torch/index.ts";
import { answerEntropies } from "./answer-entropies.ts";
import { readAnswers } from "./answers-file.ts";
import {
  type Answer,
  type AnsweredPrompt,
  type DiversityResult,
  diversityOf,
  type Unit,
} from "./diversity.ts";

/** How a model is asked. */
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
  /** Plain text is continued as it stands, without the chat template. */
  isPlain?: boolean;
  chatTemplate?: string | null;
  enableThinking?: boolean | null;
  onPhase?: PhaseListener;
}

/** Where the answers come from: a file of them, or a model. */
export type DiversitySource = { answers: string } | SampledSource;

/** The figures, with the answers that they are of. */
export interface DiversityReport extends DiversityResult {
  answered: readonly AnsweredPrompt[];
}

/** Prompts answered at once; what is answered together does not change an answer. */
const promptsAtOnce = 32;

/**
 * The figures of `source`'s answers, all together and prompt by prompt.
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
    const answered = await readAnswers(source.answers);
    return { ...diversityOf(answered, unit), answered };
  }
  const answered = await askModel(source);
  return { ...diversityOf(answered, unit), answered };
}

async function askModel(given: SampledSource): Promise<AnsweredPrompt[]> {
  const options = await withLocalModels(given);
  const { device, dtype } = settleEnvironment(options);
  const { isPlain = false, chatTemplate = null, enableThinking = null, limit } = options;
  await using text = await openText(options.model, { chatTemplate, enableThinking });
  const { config, tokenizer, encoder, stopIds } = text;
  const prompts = await readPrompts(options.prompts, encoder, { isPlain, limit });
  tellFirstTurns(options.prompts, prompts);
  checkPromptLengths(prompts, options.maxNewTokens, config.maxPositions);
  using _ = scope();
  const model = loadModel(options.model, { device, dtype, adapter: options.adapter ?? null });
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
    answered.push(...(await askPart({ model, tokenizer, part, sampling })));
    options.onPhase?.("prompts answered", first + part.length, prompts.length);
  }
  return answered;
}

interface Part {
  model: CausalLM;
  tokenizer: Tokenizer;
  part: readonly Prompt[];
  sampling: SamplingOptions & { dtype: DType };
}

async function askPart({ model, tokenizer, part, sampling }: Part): Promise<AnsweredPrompt[]> {
  const ids = part.map((prompt) => prompt.ids);
  const drawn = await sampleAnswers(model, ids, sampling);
  const numerics = { dtype: sampling.dtype, gradient_checkpointing: false, logits_chunk_size: null };
  const entropies = answerEntropies(model, ids, drawn, numerics);
  const told = drawn.map(
    (answer, i): Answer => ({
      text: tokenizer.decode(answer.ids, { skipSpecialTokens: false }),
      ended: answer.stopId !== null,
      ids: answer.ids,
      entropies: entropies[i] ?? [],
    }),
  );
  return part.map(({ text }, place) => ({
    prompt: text,
    answers: told.filter((_, i) => drawn[i]?.prompt === place),
  }));
}

/**
 * Writes the figures: all of them as one object (`.json`), or a line a prompt (`.jsonl`), which can be read again as answers.
 * A figure that is not known is null.
 *
 * @throws {ConfigError} if the name ends otherwise
 */
export function writeDiversity(path: string, report: DiversityReport): void {
  const perPrompt = report.perPrompt.map(({ prompt, figures, faults }, i) => ({
    prompt,
    answers: report.answered[i]?.answers.map(({ text, ended }) => ({ text, ended })) ?? [],
    figures: withoutNaN(figures),
    faults: withoutNaN(faults),
  }));
  const { prompts, answers, figures, faults } = report.all;
  const all = {
    unit: report.unit,
    prompts,
    answers,
    figures: withoutNaN(figures),
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

function withoutNaN(figures: Readonly<Record<string, number>>): Record<string, number | null> {
  return Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [name, Number.isNaN(value) ? null : value]),
  );
}
