/** Prompts of a round and the answers to them: read, counted, and those left out that no pair can be made of. */
import { at } from "../base/at.ts";
import { DataError } from "../base/errors.ts";
import type { RawRow } from "../data/example.ts";
import { type Prompt, readPrompts } from "../data/prompt-file.ts";
import { readRows } from "../data/sources.ts";
import { readJsonLines } from "../runs/json-lines.ts";
import type { RowEncoder } from "../text/encode.ts";
import type { Message } from "../text/messages.ts";
import { type ChatRow, EmptyAnswerError } from "../text/source-rows.ts";
import type { Comparison } from "../workbench/comparison.ts";

/** A prompt, what its row says besides, and answers to it. */
export interface AnsweredPrompt {
  /** Place of the prompt in its file, from 0. */
  index: number;
  row: ChatRow;
  /** The row's columns. */
  columns: Readonly<Record<string, unknown>>;
  answers: readonly string[];
}

/** The same as tokens, as training has them. */
export interface AnswerGroup extends AnsweredPrompt {
  promptIds: readonly number[];
  /** Of each answer, the end token included. */
  ids: readonly (readonly number[])[];
}

/** What became of all answers. */
export interface AnswerCounts {
  answers: number;
  /** Left out: cut at max_completion_length, without anything that could be learned, and the same as another one to the prompt. */
  cut: number;
  empty: number;
  repeated: number;
}

/** A prompt as a round takes it. */
export interface RoundPrompt extends Pick<AnsweredPrompt, "row" | "columns"> {
  where: string;
  ids: readonly number[];
}

/**
 * The prompts in `file`, each one turn of a user.
 *
 * @throws {DataError} naming file and line of another one
 */
export async function roundPrompts(file: string, encoder: RowEncoder): Promise<RoundPrompt[]> {
  const prompts = await readPrompts(file, encoder);
  const raw: RawRow[] = [];
  if (!file.endsWith(".txt")) for await (const row of readRows({ path: file })) raw.push(row);
  return prompts.map((prompt, i) => ({
    ...{ where: prompt.where, ids: prompt.ids },
    ...{ row: chatRowOf(prompt), columns: raw[i]?.value ?? {} },
  }));
}

function chatRowOf({ where, row, followUps, isContinued }: Prompt): ChatRow {
  if (row.kind === "chat" && followUps.length === 0 && !isContinued) return row;
  throw new DataError(
    `${where}: expected a prompt that ends with a user's message and is answered once, got ${followUps.length > 0 ? "several turns" : "an answer that was begun"}. ` +
      "Leave the row out, or take the later part away.",
  );
}

interface AnswerLine {
  index: number;
  answers: readonly { text: string; ended: boolean }[];
}

/** The answers in the file that `generate` wrote to these prompts, those that are of use. */
export async function answerGroups(
  path: string,
  prompts: readonly RoundPrompt[],
  encoder: RowEncoder,
): Promise<{ groups: AnswerGroup[]; counts: AnswerCounts }> {
  const counts: AnswerCounts = { answers: 0, cut: 0, empty: 0, repeated: 0 };
  const lines = new Map(
    readJsonLines(path).map(({ value }) => [(value as AnswerLine).index, value as AnswerLine]),
  );
  const answered = prompts.map(({ row, columns }, index): AnsweredPrompt => {
    const all = lines.get(index)?.answers ?? [];
    const ended = all.filter((answer) => answer.ended).map(({ text }) => text);
    const answers = [...new Set(ended)];
    counts.answers += all.length;
    counts.cut += all.length - ended.length;
    counts.repeated += ended.length - answers.length;
    return { index, row, columns, answers };
  });
  const groups = await encoded(encoder, answered);
  const left = (some: readonly AnsweredPrompt[]) =>
    some.reduce((sum, { answers }) => sum + answers.length, 0);
  counts.empty = left(answered) - left(groups);
  return { groups, counts };
}

/** The answers as tokens; those that nothing could be learned of are left out. */
export async function encoded(
  encoder: RowEncoder,
  answered: readonly AnsweredPrompt[],
): Promise<AnswerGroup[]> {
  const rows = answered.flatMap(({ row, answers }) =>
    answers.map((content) => ({ ...row, completions: [[{ role: "assistant" as const, content }]] })),
  );
  const outcomes = await encoder.encode(rows);
  let next = 0;
  return answered.map(({ index, row, columns, answers }) => {
    const own = answers.flatMap((answer) => {
      const outcome = at(outcomes, next++);
      if ("row" in outcome) return { answer, ...outcome.row };
      if (outcome.error instanceof EmptyAnswerError) return [];
      throw outcome.error;
    });
    return {
      ...{
        index,
        row,
        columns,
        answers: own.map(({ answer }) => answer),
        promptIds: own[0]?.promptIds ?? [],
      },
      ids: own.map(({ completions }) => at(completions, 0).ids),
    };
  });
}

/** Two answers to a prompt as they are put before whoever judges. */
export function comparisonOf(
  { row: { prompt, tools, variables } }: Pick<AnsweredPrompt, "row">,
  answers: readonly [string, string],
  models: readonly [string, string],
): Comparison {
  const message = (content: string): Message[] => [{ role: "assistant", content }];
  return {
    ...{ prompt: [...prompt], answers: [message(answers[0]), message(answers[1])], models, votes: [] },
    extra: {
      ...(tools === undefined || tools === null ? {} : { tools }),
      ...(variables === undefined ? {} : { chat_template_kwargs: variables }),
    },
  };
}
