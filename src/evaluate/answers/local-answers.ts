/** Answers that a local model gives to questions of one or more turns, written as they come. */

import { join } from "node:path";
import { at } from "../../base/at.ts";
import { DataError } from "../../base/errors.ts";
import { readTextFile, sha256, sha256File } from "../../base/files.ts";
import { deriveSeed } from "../../base/random.ts";
import { adapterWeightsName } from "../../formats/adapter.ts";
import { type EnvironmentOptions, settleEnvironment } from "../../forward/environment.ts";
import { sampleAnswers } from "../../generate/sample.ts";
import type { CausalLM } from "../../models/causal-lm.ts";
import { loadModel } from "../../models/load.ts";
import { type ModelText, openText } from "../../text/open-text.ts";
import { loadTokenizer } from "../../text/tokenizer.ts";
import { type DType, scope } from "../../torch/index.ts";
import { modelFingerprint } from "../../train/model-fingerprint.ts";
import type { ChatMessage } from "../endpoint/chat-body.ts";
import type { Asking } from "./endpoint-answers.ts";
import type { Question } from "./questions.ts";

/** A model in local directories, and how it is asked. */
export interface LocalModel extends EnvironmentOptions {
  model: string;
  adapter: string | null;
  seed: number;
  chatTemplate: string | null;
}

/** Questions answered together. Which ones are does not depend on what is there already, so draws are the same after a resume. */
const questionsAtOnce = 16;

/** Identity of weights and text handling: what two models that answer alike have in common. */
export function localIdentity({ model, adapter }: LocalModel): string {
  const { fingerprint, chatTemplates } = loadTokenizer(model);
  const parts = [
    modelFingerprint(model),
    fingerprint,
    chatTemplates,
    ...(adapter === null
      ? []
      : [readTextFile(join(adapter, "adapter_config.json")), sha256File(join(adapter, adapterWeightsName))]),
  ];
  return sha256(JSON.stringify(parts));
}

/**
 * Adds to the log what it lacks.
 *
 * @throws {DataError} if a question does not fit the model; the answers before it are kept
 */
export async function askLocalModel(local: LocalModel, asking: Asking): Promise<void> {
  const { questions, log, onAnswered } = asking;
  if (questions.every(({ id }) => log.answers.has(id))) return;
  const { device, dtype } = settleEnvironment(local);
  await using text = await openText(local.model, { chatTemplate: local.chatTemplate });
  // questions are conversations: without a chat template nothing is loaded
  await text.encoder.chatFormat();
  using _ = scope();
  const model = loadModel(local.model, { device, dtype, adapter: local.adapter });
  const talk = { model, text, dtype, maxNewTokens: asking.maxTokens };
  let done = questions.filter(({ id }) => log.answers.has(id)).length;
  for (const { group, temperature, seed } of groupsOf(asking, local.seed)) {
    if (group.every(({ id }) => log.answers.has(id))) continue;
    const turns = await answerGroup(talk, group, { temperature, seed }, asking.onCut);
    for (const [i, question] of group.entries()) {
      if (log.answers.has(question.id)) continue;
      log.add(question.id, asking.keyOf(question), at(turns, i));
      onAnswered(++done, questions.length);
    }
  }
}

interface Group {
  group: Question[];
  temperature: number;
  seed: number;
}

/** Questions of the same temperature, so many at once. The seed is that of a group's first question among all. */
function groupsOf({ questions, temperatureOf }: Asking, seed: number): Group[] {
  const groups: Group[] = [];
  for (const [temperature, alike] of Map.groupBy(questions, temperatureOf)) {
    for (let first = 0; first < alike.length; first += questionsAtOnce) {
      const group = alike.slice(first, first + questionsAtOnce);
      const place = questions.indexOf(at(alike, first));
      groups.push({ group, temperature, seed: deriveSeed(seed, place) });
    }
  }
  return groups;
}

/** What is needed to talk to a model. */
interface Talk {
  model: CausalLM;
  text: ModelText;
  dtype: DType;
  maxNewTokens: number;
}

/** The answers to each question of a group, one a turn. */
async function answerGroup(
  talk: Talk,
  group: readonly Question[],
  { temperature, seed }: { temperature: number; seed: number },
  onCut: () => void,
): Promise<string[][]> {
  const turns = group.map((): string[] => []);
  const most = Math.max(...group.map(({ followUps }) => followUps.length + 1));
  for (let turn = 0; turn < most; turn++) {
    const asked = [...group.keys()].filter((i) => (group[i]?.followUps.length ?? 0) >= turn);
    const prompts = await encodeTurns(
      talk,
      asked.map((i) => ({ question: at(group, i), said: at(turns, i) })),
    );
    const drawn = await sampleAnswers(talk.model, prompts, {
      temperature,
      maxNewTokens: talk.maxNewTokens,
      stopIds: talk.text.stopIds,
      seed: deriveSeed(seed, turn),
      promptsAtOnce: questionsAtOnce,
      dtype: talk.dtype,
    });
    for (const { prompt, ids, stopId } of drawn) {
      if (stopId === null) onCut();
      const text = talk.text.tokenizer.decode(ids, { skipSpecialTokens: true }).trim();
      turns[at(asked, prompt)]?.push(text);
    }
  }
  return turns;
}

/** Token ids up to where the next answer begins. */
async function encodeTurns(
  { text: { encoder, config }, maxNewTokens }: Talk,
  talks: readonly { question: Question; said: readonly string[] }[],
): Promise<number[][]> {
  const rows = talks.map(({ question, said }) => ({
    kind: "chat" as const,
    where: question.where,
    prompt: conversation(question, said),
    completions: [],
  }));
  const outcomes = await encoder.encode(rows);
  return outcomes.map((outcome, i) => {
    if ("error" in outcome) throw outcome.error;
    const { promptIds } = outcome.row;
    if (promptIds.length + maxNewTokens <= config.maxPositions) return promptIds;
    throw new DataError(
      `${rows[i]?.where}: turn ${(talks[i]?.said.length ?? 0) + 1} has a prompt of ${promptIds.length} tokens, and ` +
        `${maxNewTokens} more are allowed to the answer; the model was made for ${config.maxPositions} in all. ` +
        `Ask for shorter answers.`,
    );
  });
}

function conversation({ messages, followUps }: Question, said: readonly string[]): ChatMessage[] {
  const later = said.flatMap((answer, i): ChatMessage[] => [
    { role: "assistant", content: answer },
    { role: "user", content: followUps[i] ?? "" },
  ]);
  return [...messages, ...later];
}
