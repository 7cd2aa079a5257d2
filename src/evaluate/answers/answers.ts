/** Answers to a benchmark's questions: read from a file, requested from an endpoint, or sampled from a local model. */
import { join } from "node:path";
import { EndpointError } from "../../base/errors.ts";
import { makeDirectory, sha256 } from "../../base/files.ts";
import type { PhaseListener } from "../../base/phase-listener.ts";
import { warn } from "../../base/warn.ts";
import type { EnvironmentOptions } from "../../forward/environment.ts";
import { withLocalModels } from "../../hub/hub-model.ts";
import { Endpoint } from "../endpoint/endpoint.ts";
import type { JudgeSettings } from "../judge/judging.ts";
import { AnswerLog, type AnswerSettings, answerKey } from "./answer-log.ts";
import { type Answers, matchAnswers, readAnswerFile } from "./answer-rows.ts";
import { type Answerer, answererName, inFileName, parseAnswerer } from "./answerer.ts";
import { type AnswerRequest, askEndpoint, leftOut } from "./endpoint-answers.ts";
import type { LocalModel } from "./local-answers.ts";
import type { Question } from "./questions.ts";

/** How answers are obtained. */
export interface AnswerOptions extends EnvironmentOptions {
  /** Longest answer, in tokens. */
  maxNewTokens: number;
  /** Random seed of a local model. */
  seed: number;
  chatTemplate: string | null;
  /** Of local models: the template's `enable_thinking`. Null or left out: as the template has it without. */
  enableThinking?: boolean | null;
  /** Directory of the answers, each written as soon as it is complete. */
  dir: string;
  /** Opens an endpoint under test. */
  openEndpoint: (address: { baseUrl: string; model: string }) => Endpoint;
  concurrency: number;
  onPhase?: PhaseListener;
}

/** What all commands with a judge take. */
export interface JudgingOptions extends JudgeSettings, Omit<AnswerOptions, "openEndpoint"> {
  /** Key of endpoints under test. */
  answerKey: string | null;
  /** Further fields of requests to endpoints under test; null takes a field out. */
  answerExtra?: Readonly<Record<string, unknown>>;
  /** Samples of the bootstrap. */
  bootstrapRounds: number;
}

/** Answers, and the name of their model. */
export interface NamedAnswers {
  name: string;
  answers: Answers;
  /** Their file. */
  path: string;
}

/** Answers of several, and the questions that all of them have answered. */
export interface AnsweredQuestions {
  answers: NamedAnswers[];
  questions: Question[];
  /** Questions that are left out: an endpoint refused them. */
  unanswered: number;
}

/** Questions, and the temperature at which each is answered. */
interface Asked {
  questions: readonly Question[];
  temperatureOf: (question: Question) => number;
}

/**
 * The answers of `answerer` to `questions`: the missing ones are generated. Questions that an endpoint refuses have none.
 *
 * @throws {DataError} if a file lacks an answer
 * @throws {EndpointError} if an endpoint gives no answers; what it answered is kept
 */
export async function answersOf(
  answerer: Answerer,
  questions: readonly Question[],
  temperatureOf: (question: Question) => number,
  options: AnswerOptions,
): Promise<NamedAnswers> {
  const answer = await openAnswerer(answerer, { questions, temperatureOf }, options);
  return answer();
}

/** Finds the file or model of `answerer`; what it gives answers. So several are found before the first begins to answer. */
async function openAnswerer(
  answerer: Answerer,
  asked: Asked,
  options: AnswerOptions,
): Promise<() => Promise<NamedAnswers>> {
  if (answerer.kind === "file") {
    const { path } = answerer;
    const file = await readAnswerFile(path);
    const answers = matchAnswers(file, asked.questions, path);
    return async () => {
      const refused = asked.questions.length - answers.size;
      if (refused > 0) warn(`${path}: ${leftOut(refused)}.`);
      warnOfEmpty(path, answers);
      return { name: file.model ?? answererName(answerer), answers, path };
    };
  }
  const name = answererName(answerer);
  const source = await sourceOf(answerer, options);
  return () => generated({ name, source, asked, options });
}

/** The answers of a source, those that are missing generated and kept. */
async function generated({
  name,
  source,
  asked: { questions, temperatureOf },
  options,
}: {
  name: string;
  source: AnswerSource;
  asked: Asked;
  options: AnswerOptions;
}): Promise<NamedAnswers> {
  const settings = (question: Question): AnswerSettings => ({
    ...source.settings,
    temperature: temperatureOf(question),
    maxTokens: options.maxNewTokens,
  });
  const keys = new Map(questions.map((question) => [question.id, answerKey(question, settings(question))]));
  const { maxNewTokens: maxTokens } = options;
  const made = sha256(JSON.stringify({ ...source.settings, maxTokens })).slice(0, 8);
  const dir = join(options.dir, "answers");
  makeDirectory(dir);
  const path = join(dir, `${inFileName(name)}-${made}.jsonl`);
  using log = await AnswerLog.open(path, name, keys);
  await source.answer({
    questions,
    temperatureOf,
    maxTokens,
    log,
    keyOf: (question) => keys.get(question.id) as string,
    onAnswered: (done, total) => options.onPhase?.(`answers of ${name}`, done, total),
  });
  const { cut } = log;
  if (cut > 0) {
    warn(
      `${name}: ${cut} ${cut === 1 ? "answer was" : "answers were"} cut at the limit of ${maxTokens} tokens, and judged as cut.`,
    );
  }
  warnOfEmpty(path, log.answers);
  return { name, answers: new Map(log.answers), path };
}

/** Empty answers are judged too; a model that thinks may have spent the token limit on its thoughts. */
function warnOfEmpty(path: string, answers: Answers): void {
  const count = [...answers.values()].flat().filter((text) => text.trim() === "").length;
  if (count > 0)
    warn(`${path}: ${count} ${count === 1 ? "answer is" : "answers are"} empty, and judged as such.`);
}

/** Generates answers; `settings` are what they depend on besides the question. */
interface AnswerSource {
  settings: Omit<AnswerSettings, "temperature" | "maxTokens">;
  answer: (request: AnswerRequest) => Promise<void>;
}

async function sourceOf(
  answerer: Exclude<Answerer, { kind: "file" }>,
  options: AnswerOptions,
): Promise<AnswerSource> {
  const { chatTemplate, enableThinking = null, seed } = options;
  if (answerer.kind === "endpoint") {
    const endpoint = options.openEndpoint(answerer);
    const { baseUrl, model, extra } = endpoint;
    return {
      settings: { identity: `${baseUrl}#${model}`, seed: 0, further: extra },
      answer: (request) => askEndpoint(endpoint, request, options.concurrency),
    };
  }
  // Answers in a file or of an endpoint need no libtorch.
  const { askLocalModel, givenTemplate, localIdentity } = await import("./local-answers.ts");
  const found = await withLocalModels({ ...answerer, ...options });
  const { model, adapter, device = "auto", dtype = "auto", threads = null } = found;
  const local: LocalModel = {
    ...{ model, adapter, seed, chatTemplate, enableThinking },
    ...{ device, dtype, threads },
  };
  return {
    settings: {
      identity: localIdentity(local),
      seed,
      further: {
        ...{ chatTemplate: givenTemplate(local), dtype },
        // without it the answers that are kept from before it existed stay
        ...(enableThinking === null ? {} : { enableThinking }),
      },
    },
    answer: (request) => askLocalModel(local, request),
  };
}

/**
 * The answers of files, endpoints or models as the command line names them: none answers before all are found.
 *
 * @throws {EndpointError} when no question is left that all have answered
 */
export async function namedAnswers(
  texts: readonly string[],
  questions: readonly Question[],
  temperatureOf: (question: Question) => number,
  options: JudgingOptions,
): Promise<AnsweredQuestions> {
  const { answerKey: apiKey, answerExtra: extra = {}, limits } = options;
  const all: AnswerOptions = {
    ...options,
    openEndpoint: (address) => new Endpoint({ ...address, apiKey, extra, ...limits }),
  };
  const open: (() => Promise<NamedAnswers>)[] = [];
  for (const text of texts) {
    open.push(await openAnswerer(parseAnswerer(text), { questions, temperatureOf }, all));
  }
  const answers: NamedAnswers[] = [];
  for (const answer of open) answers.push(await answer());
  const answered = questions.filter(({ id }) => answers.every((one) => one.answers.has(id)));
  if (answered.length === 0) {
    const counts = answers.map(({ name, answers: own }) => `${name} ${own.size}`).join(", ");
    throw new EndpointError(
      `expected questions that all have answered, got none of ${questions.length}: the others were refused (answered: ${counts}). ` +
        "Fix what the notes name, and give the command again.",
      null,
    );
  }
  return { answers, questions: answered, unanswered: questions.length - answered.length };
}

/** The names of two models; with (A) and (B) where they are the same. */
export function twoNames(a: NamedAnswers, b: NamedAnswers): readonly [string, string] {
  return a.name === b.name ? [`${a.name} (A)`, `${b.name} (B)`] : [a.name, b.name];
}
