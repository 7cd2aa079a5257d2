/** Two answers to one prompt, who wrote them, and how they were judged: what every form of labelled data is read into. */
import { sha256 } from "../base/files.ts";
import { isRecord } from "../base/is-record.ts";
import type { Answer } from "../data/answer-columns.ts";
import { jsonOf } from "../text/json-number.ts";
import { toolsText } from "../text/message-text.ts";

/** Of the answers "a" and "b": one is better, they are equally good, or neither is good. */
export type Choice = "a" | "b" | "tie" | "bad";

/** A judgment that came with the data. */
export interface GivenVote {
  /** Null: the file does not say who. */
  person: string | null;
  choice: Choice;
}

/** Two answers to one prompt. */
export interface Comparison {
  /** Text, or messages where it is a conversation. */
  prompt: Answer;
  answers: readonly [Answer, Answer];
  /** Who wrote each answer; null where that is not known. */
  models: readonly [string | null, string | null];
  votes: readonly GivenVote[];
  /** Columns of the row that are no part of the comparison. */
  extra: Readonly<Record<string, unknown>>;
}

/** The other answer. */
export function otherThan(answer: "a" | "b"): "a" | "b" {
  return answer === "a" ? "b" : "a";
}

/** A choice after the answers were exchanged. */
export function exchanged(choice: Choice): Choice {
  return choice === "a" || choice === "b" ? otherThan(choice) : choice;
}

/**
 * The comparison with its answers in an order that depends on their text alone: the same two answers are one item, whichever
 * was written first, and "a" says nothing of which is better.
 */
export function inOrder(comparison: Comparison): Comparison {
  const [a, b] = comparison.answers;
  if (sha256(JSON.stringify(a)) <= sha256(JSON.stringify(b))) return comparison;
  const [first, second] = comparison.models;
  return {
    ...comparison,
    answers: [b, a],
    models: [second, first],
    votes: comparison.votes.map((vote) => ({ ...vote, choice: exchanged(vote.choice) })),
  };
}

/** Columns that say, beside the messages, how the prompt is rendered. */
const inputColumns: readonly string[] = ["tools", "chat_template_kwargs"];

/**
 * The columns among `extra` that say how the prompt is rendered, and the others. Null, an empty text and an object without keys,
 * as files of columns have them, say nothing and are in neither.
 */
export function dividedExtra(extra: Comparison["extra"]): {
  inputs: Record<string, unknown>;
  others: Record<string, unknown>;
} {
  const isSaid = (value: unknown): boolean =>
    value !== null &&
    value !== undefined &&
    value !== "" &&
    !(isRecord(value) && Object.keys(value).length === 0);
  const inputs = inputColumns.flatMap((name) => (isSaid(extra[name]) ? [[name, extra[name]] as const] : []));
  const others = Object.entries(extra).filter(([name]) => !inputColumns.includes(name));
  return { inputs: Object.fromEntries(inputs), others: Object.fromEntries(others) };
}

/**
 * The tools and template variables of a pair, as people and judges read them: pairs may differ in nothing else. "" where there are none.
 */
export function inputsText({ extra }: Pick<Comparison, "extra">): string {
  const { tools, chat_template_kwargs: variables } = dividedExtra(extra).inputs;
  return [
    ...(Array.isArray(tools) ? [tools.length === 0 ? "tools: none" : toolsText(tools)] : []),
    ...(variables === undefined ? [] : [`chat_template_kwargs: ${jsonOf(variables)}`]),
  ].join("\n\n");
}

/**
 * Identity of what is compared: SHA-256 of prompt and answers, whichever answer is written first, and of `tools` and
 * `chat_template_kwargs` where there are any.
 */
export function itemIdOf(comparison: Comparison): string {
  const { prompt, answers, extra } = inOrder(comparison);
  const { inputs } = dividedExtra(extra);
  return sha256(JSON.stringify([prompt, answers, ...(Object.keys(inputs).length === 0 ? [] : [inputs])]));
}
