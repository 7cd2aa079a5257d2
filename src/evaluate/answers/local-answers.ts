/** Answers of a local model to questions of one or more turns, each written as soon as it is complete. */
import { join } from "node:path";
import { at } from "../../base/at.ts";
import { readTextFile, sha256, sha256File } from "../../base/files.ts";
import { deriveSeed } from "../../base/random.ts";
import { checkPromptLengths, tellFullContext } from "../../data/prompt-file.ts";
import { adapterConfigName, adapterWeightsName, isTunedModel } from "../../formats/adapter.ts";
import { adapterPlace } from "../../formats/adapter-scale.ts";
import { contextLength } from "../../formats/model-config.ts";
import { modelFingerprint } from "../../formats/model-fingerprint.ts";
import { type EnvironmentOptions, settleEnvironment } from "../../forward/environment.ts";
import { sampleCompletions } from "../../generate/sample.ts";
import type { CausalLM } from "../../models/causal-lm.ts";
import { loadModel } from "../../models/load.ts";
import { checkAdaptedBase } from "../../runs/adapted-base.ts";
import { tellOtherThinking } from "../../runs/trained-thinking.ts";
import { type ModelText, openText } from "../../text/open-text.ts";
import { templateGiven } from "../../text/template-source.ts";
import { loadTokenizer } from "../../text/tokenizer.ts";
import { tellOtherTemplate } from "../../text/trained-template.ts";
import { type DType, scope } from "../../torch/index.ts";
import type { AnsweredTurns } from "./answer-log.ts";
import type { AnswerRequest } from "./endpoint-answers.ts";
import { conversation, type Question } from "./questions.ts";

/** A model in local directories, and how it is sampled. */
export interface LocalModel extends EnvironmentOptions {
  model: string;
  adapter: string | null;
  seed: number;
  chatTemplate: string | null;
  /** The template's `enable_thinking`. Null or left out: as the template has it without. */
  enableThinking?: boolean | null;
}

/** Questions answered at once. Groups do not depend on the answers in the log, so samples are the same after a resume. */
const questionsAtOnce = 16;

/** Hash of weights and text handling: the same for models that give the same answers. */
export function localIdentity({ model, adapter }: Pick<LocalModel, "model" | "adapter">): string {
  const { fingerprint, chatTemplates } = loadTokenizer(model);
  const parts = [
    modelFingerprint(model),
    fingerprint,
    chatTemplates,
    ...(adapter === null ? [] : adapterParts(adapter)),
  ];
  return sha256(JSON.stringify(parts));
}

/** The text of a chat template that is given; null: none is. A file may have another one by the next time. */
export function givenTemplate({
  model,
  chatTemplate,
}: Pick<LocalModel, "model" | "chatTemplate">): string | null {
  return templateGiven(loadTokenizer(model), chatTemplate);
}

/** Of an adapter, or of a tuned model, each with the scale at which it is taken. */
function adapterParts(adapter: string): (string | number)[] {
  const { place, scale } = adapterPlace(adapter);
  const own = isTunedModel(adapter)
    ? [modelFingerprint(place)]
    : [readTextFile(join(place, adapterConfigName)), sha256File(join(place, adapterWeightsName))];
  return scale === 1 ? own : [...own, scale];
}

/**
 * Adds the missing answers to the log.
 *
 * @throws {DataError} if a question does not fit the model, before any is answered
 */
export async function askLocalModel(local: LocalModel, request: AnswerRequest): Promise<void> {
  const { questions, log, onAnswered } = request;
  if (questions.every(({ id }) => log.answers.has(id))) return;
  const { device, dtype } = settleEnvironment(local);
  await using text = await openText(local.model, {
    chatTemplate: local.chatTemplate,
    enableThinking: local.enableThinking ?? null,
  });
  // questions are conversations: without a chat template nothing is loaded
  await text.encoder.chatFormat();
  const open = questions.filter(({ id }) => !log.answers.has(id));
  // a question without room for its answer is found before hundreds of others are answered
  const prompts = await promptsOf(
    text,
    open.map((question) => ({ question, answers: [] })),
  );
  checkPromptLengths(prompts, request.maxTokens, contextLength(text.config));
  using _ = scope();
  checkAdaptedBase(local, false);
  tellOtherTemplate(local);
  tellOtherThinking(local);
  const model = loadModel(local.model, { device, dtype, adapter: local.adapter });
  const source = { model, text, dtype, maxNewTokens: request.maxTokens };
  let done = questions.length - open.length;
  for (const { group, temperature, seed } of groupsOf(request, local.seed)) {
    if (group.every(({ id }) => log.answers.has(id))) continue;
    const answered = await answerGroup(source, group, { temperature, seed });
    for (const [i, question] of group.entries()) {
      if (log.answers.has(question.id)) continue;
      log.add(question.id, request.keyOf(question), at(answered, i));
      onAnswered(++done, questions.length);
    }
  }
}

/** Questions of the same temperature, `questionsAtOnce` in a group. A group's seed is derived from its first question's index. */
function groupsOf(
  { questions, temperatureOf }: AnswerRequest,
  seed: number,
): { group: Question[]; temperature: number; seed: number }[] {
  const groups: ReturnType<typeof groupsOf> = [];
  for (const [temperature, alike] of Map.groupBy(questions, temperatureOf)) {
    for (let first = 0; first < alike.length; first += questionsAtOnce) {
      const group = alike.slice(first, first + questionsAtOnce);
      const index = questions.indexOf(at(alike, first));
      groups.push({ group, temperature, seed: deriveSeed(seed, index) });
    }
  }
  return groups;
}

/** An open model. */
interface OpenModel {
  model: CausalLM;
  text: ModelText;
  dtype: DType;
  maxNewTokens: number;
}

/** The answers to each question of a group, one per turn. */
async function answerGroup(
  source: OpenModel,
  group: readonly Question[],
  { temperature, seed }: { temperature: number; seed: number },
): Promise<AnsweredTurns[]> {
  const answered = group.map(() => ({ turns: [] as string[], cut: 0 }));
  const turnCount = Math.max(...group.map(({ followUps }) => followUps.length + 1));
  for (let turn = 0; turn < turnCount; turn++) {
    const asked = [...group.keys()].filter((i) => (group[i]?.followUps.length ?? 0) >= turn);
    const prompts = await encodeTurns(
      source.text,
      asked.map((i) => ({ question: at(group, i), answers: at(answered, i).turns })),
    );
    for (const [k, i] of asked.entries()) {
      if (prompts[k] !== null) continue;
      const own = at(answered, i);
      own.turns.push("");
      own.cut++;
    }
    const open = asked.filter((_, k) => prompts[k] !== null);
    const fitting = prompts.filter((ids) => ids !== null);
    if (fitting.length === 0) continue;
    const sampled = await sampleCompletions(source.model, fitting, {
      temperature,
      maxNewTokens: source.maxNewTokens,
      stopIds: source.text.stopIds,
      seed: deriveSeed(seed, turn),
      promptsAtOnce: questionsAtOnce,
      dtype: source.dtype,
    });
    for (const { prompt, ids, stopId } of sampled) {
      const own = at(answered, at(open, prompt));
      if (stopId === null) own.cut++;
      own.turns.push(source.text.tokenizer.decode(ids, { skipSpecialTokens: true }).trim());
    }
  }
  return answered;
}

/** A conversation to be continued. */
interface Begun {
  question: Question;
  /** The answers to its first turns. */
  answers: readonly string[];
}

/** Token ids of each conversation up to where the next answer begins, with the question's place. */
async function promptsOf(
  { encoder }: ModelText,
  conversations: readonly Begun[],
): Promise<{ where: string; ids: number[] }[]> {
  const rows = conversations.map(({ question, answers }) => ({
    kind: "chat" as const,
    where: question.where,
    prompt: conversation(question, answers),
    completions: [],
  }));
  const outcomes = await encoder.encode(rows);
  return outcomes.map((outcome, i) => {
    if ("error" in outcome) throw outcome.error;
    return { where: at(rows, i).where, ids: outcome.row.promptIds };
  });
}

/** Token ids of each conversation; null, with a warning, where the turns before fill the context. */
async function encodeTurns(text: ModelText, conversations: readonly Begun[]): Promise<(number[] | null)[]> {
  const most = contextLength(text.config);
  return (await promptsOf(text, conversations)).map(({ where, ids }, i) => {
    if (ids.length < most) return ids;
    tellFullContext(`${where}, turn ${at(conversations, i).answers.length + 1}`, ids.length, most);
    return null;
  });
}
