/** Rows of prompts to sample completions of: the prompt, what rewards are given beside it, and a good completion where there is one. */
import { plainNumbers } from "../text/json-number.ts";
import type { SourceRow } from "../text/source-rows.ts";
import type { Answer } from "./answer-columns.ts";
import type { RowColumns } from "./columns.ts";
import { userMessage } from "./conversations.ts";
import type { Example, RewardRow } from "./example.ts";
import { isMarkedBad } from "./labels.ts";
import { readAnswer, readPrompt } from "./prompt-columns.ts";
import { splitExplicit } from "./prompts.ts";
import { templateInputs } from "./template-columns.ts";

/** A row of a prompt, understood. */
export interface PromptRow {
  source: SourceRow;
  reward: RewardRow;
}

/**
 * The prompt of a row for on-policy training: `prompt` of text or messages, or any other column that training reads prompts
 * from. A `chosen` or `completion`, or the answer at the end of `messages`, is a good completion, whose log-probs are watched, unless
 * a label of the row is false.
 *
 * @param values - the row as its file has it
 * @throws {DataError} for a row without a prompt
 */
export function readPromptRow(
  columns: RowColumns,
  values: Readonly<Record<string, unknown>>,
  strings: "text" | "chat",
): PromptRow {
  const { where } = columns;
  const prompt = readPrompt(columns);
  if (prompt === null) {
    throw columns.missing(`"prompt" (text or messages): an on-policy run samples the completions`);
  }
  const others = Object.entries(values).filter(([name]) => name !== columns.nameOf("prompt"));
  const rest = plainNumbers(Object.fromEntries(others));
  const isBad = isMarkedBad(columns);
  const good = isBad ? null : goodAnswer(columns);
  if (prompt.kind === "text" && strings === "text" && (good === null || typeof good === "string")) {
    const completions = good === null ? [] : [good];
    return {
      source: { kind: "text", where, prompt: prompt.text, completions },
      reward: { prompt: prompt.text, columns: rest },
    };
  }
  let messages = prompt.kind === "chat" ? prompt.messages : [userMessage(prompt.text)];
  let answers: Answer[] = good === null ? [] : [good];
  const last = messages.at(-1);
  if (prompt.kind === "chat" && prompt.isConversation && last?.role === "assistant") {
    messages = messages.slice(0, -1);
    answers = isBad ? [] : [[last]];
  }
  const inputs = templateInputs(columns);
  const split = splitExplicit(messages, answers, where);
  return {
    source: { kind: "chat", where, ...inputs, ...split },
    reward: { prompt: plainNumbers(split.prompt), columns: rest },
  };
}

/** `completion` or `chosen`; null where the row has neither. An `answer`, of whatever type, is for the rewards. */
function goodAnswer(columns: RowColumns): Answer | null {
  const name = (["completion", "chosen"] as const).find((column) => columns.has(column));
  return name === undefined ? null : readAnswer(columns, name);
}

/** A row's columns by name. */
type Columns = Readonly<Record<string, unknown>>;

/**
 * `examples`, each with the columns that any row of `all` has, null where its own has none: which names a reward function finds does
 * not depend on which prompts are scored together.
 *
 * @param all - the rows of their data set
 */
export function withColumnsOf(all: readonly Example[], examples: Example[]): Example[] {
  const fill = filling(all.map(({ reward }) => reward?.columns ?? {}));
  return examples.map((example) => {
    const { reward } = example;
    if (reward === undefined) return example;
    const columns = fill(reward.columns);
    return columns === reward.columns ? example : { ...example, reward: { ...reward, columns } };
  });
}

/** Gives a row the columns that any of `rows` has: null for those that it lacks; itself where it lacks none. */
export function filling(rows: readonly Columns[]): (row: Columns) => Columns {
  const names = new Set(rows.flatMap((row) => Object.keys(row)));
  const none = Object.fromEntries([...names].map((name) => [name, null]));
  return (row) => (Object.keys(row).length === names.size ? row : { ...none, ...row });
}
