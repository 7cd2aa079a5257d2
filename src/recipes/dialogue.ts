/** A prompt answered turn by turn: each answer stands in the conversation before the next of the row's turns is asked. */
import { TorchError } from "../base/errors.ts";
import { deriveSeed } from "../base/random.ts";
import { checkPromptLengths, type Prompt } from "../data/prompt-file.ts";
import type { Message } from "../text/messages.ts";
import type { SourceRow } from "../text/rows.ts";
import {
  AnswerCollector,
  type FinishedAnswer,
  type Generation,
  type SamplingSettings,
  type Voice,
} from "./generation.ts";

/** What is asked of whom. */
export interface DialogueTask {
  prompt: Prompt;
  /** Place of the prompt in its file: its random numbers depend on it. */
  index: number;
  voice: Voice;
}

/**
 * The answers to the prompt and to the turns after it: for each sample one answer a turn. Samples share the first question and
 * nothing else.
 *
 * @throws {TorchError} naming file and line, if the engine fails
 * @throws {DataError} if a turn leaves no room for its answer, or its conversation cannot be rendered
 */
export async function answerDialogue(
  generation: Generation,
  { prompt, index, voice }: DialogueTask,
  sampling: SamplingSettings,
): Promise<FinishedAnswer[][]> {
  const { where, followUps } = prompt;
  const asker = { generation, voice, where, continuesPrompt: prompt.isContinued };
  const first = await ask(asker, prompt.ids, { ...sampling, firstSeries: index * sampling.n });
  const dialogues = first.map((answer) => [answer]);
  for (const [turn] of followUps.entries()) {
    const asked = dialogues.map(async (said, sample) => {
      const ids = await generation.encodeRow(rowAfter(prompt, said));
      const place = `${where}, turn ${turn + 2}`;
      checkPromptLengths([{ where: place, ids }], sampling.maxNewTokens, generation.maxPositions);
      const seed = deriveSeed(sampling.seed, turn + 1);
      const one = { ...sampling, n: 1, seed, firstSeries: index * sampling.n + sample };
      said.push(...(await ask({ ...asker, where: place, continuesPrompt: false }, ids, one)));
    });
    await Promise.all(asked);
  }
  return dialogues;
}

/** The row with what was said so far, up to the next question. */
function rowAfter({ row, followUps }: Prompt, said: readonly FinishedAnswer[]): SourceRow {
  const later = said.flatMap(({ text }, i): Message[] => [
    { role: "assistant", content: text },
    { role: "user", content: followUps[i] ?? "" },
  ]);
  const before: readonly Message[] =
    row.kind === "chat" ? row.prompt : [{ role: "user", content: row.kind === "text" ? row.prompt : "" }];
  const common = row.kind === "chat" ? row : { where: row.where, completions: [] };
  return { ...common, kind: "chat", prompt: [...before, ...later] } as SourceRow;
}

interface Asker {
  generation: Generation;
  voice: Voice;
  /** File and line, and the turn. */
  where: string;
  /** Whether the answer goes on with the prompt's text. */
  continuesPrompt: boolean;
}

/** Hands a request to the engine, which works it off while its owner steps it. */
function ask(
  { generation, voice, where, continuesPrompt }: Asker,
  promptIds: readonly number[],
  sampling: SamplingSettings & { firstSeries: number },
): Promise<FinishedAnswer[]> {
  const request = {
    ...sampling,
    promptIds: [...promptIds],
    stopIds: generation.stopIds,
    adapter: voice.adapter,
    continuesPrompt,
  };
  return new Promise((resolve, reject) => {
    const collector = new AnswerCollector(sampling.n);
    const id = `${where} ${sampling.firstSeries} ${voice.name}`;
    generation.engine.submit(id, request, (event) => {
      collector.add(event);
      if (event.type === "error") reject(new TorchError(`${where}: ${event.message}`));
      if (event.type === "done") resolve(collector.answers);
    });
  });
}
