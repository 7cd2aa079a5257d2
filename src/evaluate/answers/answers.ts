/** Answers to a benchmark's questions, whoever gives them: read from a file, asked of an endpoint, or of a local model. */
import { join } from "node:path";
import { makeDirectory, sha256 } from "../../base/files.ts";
import type { PhaseListener } from "../../base/phase-listener.ts";
import { warn } from "../../base/warn.ts";
import type { EnvironmentOptions } from "../../forward/environment.ts";
import { withLocalModels } from "../../hub/hub-model.ts";
import type { Endpoint } from "../endpoint/endpoint.ts";
import { AnswerLog, type AnswerSettings, answerKey } from "./answer-log.ts";
import { type Answers, matchAnswers, readAnswerFile } from "./answer-rows.ts";
import { type Answerer, answererName, inFileName } from "./answerer.ts";
import { type Asking, askEndpoint } from "./endpoint-answers.ts";
import type { LocalModel } from "./local-answers.ts";
import type { Question } from "./questions.ts";

/** How answers are come by. */
export interface AnswerOptions extends EnvironmentOptions {
  /** Longest answer, in tokens. */
  maxNewTokens: number;
  /** Decides a local model's draws. */
  seed: number;
  chatTemplate: string | null;
  /** Where answers are kept as they come. */
  dir: string;
  /** Opens an endpoint that answers. */
  openEndpoint: (place: { baseUrl: string; model: string }) => Endpoint;
  concurrency: number;
  onPhase?: PhaseListener;
}

/** Answers, and who gave them. */
export interface NamedAnswers {
  name: string;
  answers: Answers;
  /** The file that they are in. */
  path: string;
}

/**
 * The answers of `answerer` to `questions`: made as far as they are not there yet.
 *
 * @throws {DataError} if a file lacks an answer
 * @throws {EndpointError} if an endpoint refuses; what it answered is kept
 */
export async function answersOf(
  answerer: Answerer,
  questions: readonly Question[],
  temperatureOf: (question: Question) => number,
  options: AnswerOptions,
): Promise<NamedAnswers> {
  if (answerer.kind === "file") {
    const { path } = answerer;
    const file = await readAnswerFile(path);
    const answers = matchAnswers(file, questions, path);
    tellEmpty(path, answers);
    return { name: file.model ?? answererName(answerer), answers, path };
  }
  const name = answererName(answerer);
  const source = await sourceOf(answerer, options);
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
  let cut = 0;
  await source.ask({
    questions,
    temperatureOf,
    maxTokens,
    log,
    keyOf: (question) => keys.get(question.id) as string,
    onCut: () => cut++,
    onAnswered: (done, total) => options.onPhase?.(`answers of ${name}`, done, total),
  });
  if (cut > 0) {
    warn(
      `${name}: ${cut} ${cut === 1 ? "answer was" : "answers were"} cut at --max-new-tokens ${maxTokens}, and judged as cut.`,
    );
  }
  tellEmpty(path, log.answers);
  return { name, answers: new Map(log.answers), path };
}

/** Empty answers are judged too: of models that think, the limit may have gone into the thoughts. */
function tellEmpty(path: string, answers: Answers): void {
  const count = [...answers.values()].flat().filter((text) => text.trim() === "").length;
  if (count > 0)
    warn(`${path}: ${count} ${count === 1 ? "answer is" : "answers are"} empty, and judged as such.`);
}

/** What an answer depends on besides its question, and who gives it. */
interface Source {
  settings: Omit<AnswerSettings, "temperature" | "maxTokens">;
  ask: (asking: Asking) => Promise<void>;
}

async function sourceOf(
  answerer: Exclude<Answerer, { kind: "file" }>,
  options: AnswerOptions,
): Promise<Source> {
  const { chatTemplate, seed } = options;
  if (answerer.kind === "endpoint") {
    const endpoint = options.openEndpoint(answerer);
    const { baseUrl, model, extra } = endpoint;
    return {
      settings: { identity: `${baseUrl}#${model}`, seed: 0, further: extra },
      ask: (asking) => askEndpoint(endpoint, asking, options.concurrency),
    };
  }
  // Who has answers, or an endpoint, needs no libtorch.
  const { askLocalModel, localIdentity } = await import("./local-answers.ts");
  const found = await withLocalModels({ ...answerer, ...options });
  const { model, adapter, device, dtype, threads } = found;
  const local: LocalModel = { model, adapter, seed, chatTemplate, device, dtype, threads };
  return {
    settings: { identity: localIdentity(local), seed, further: { chatTemplate, dtype } },
    ask: (asking) => askLocalModel(local, asking),
  };
}
