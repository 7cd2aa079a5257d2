/**
 * Answers that users of an application have marked with a thumb, as Open WebUI and LangSmith export them, put into the columns
 * `messages` and `label` (or `rating`).
 */
import { DataError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import { numberOf } from "../text/json-number.ts";
import { describeOrigin, type RawRow } from "./example.ts";
import { storedValue } from "./stored-text.ts";

/** A row in preftune's columns, made of some columns of another. */
export interface FeedbackRow extends RawRow {
  /** The columns that it was made of. */
  from: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * The row in preftune's columns; null for one of any other form.
 *
 * @throws DataError for one of these forms that lacks the answer that was marked, or its mark
 */
export function feedbackRow(row: RawRow): FeedbackRow | null {
  const { origin, value } = row;
  const where = describeOrigin(origin);
  const made = openWebUi(value, where) ?? langSmith(value, where);
  return made === null ? null : { origin, ...made };
}

type Made = Pick<FeedbackRow, "value" | "from">;

/** Feedback of Open WebUI: the whole chat, and which of its messages was marked 1 or −1. */
function openWebUi(value: Fields, where: string): Made | null {
  const { type, data, meta, snapshot } = value;
  if (type !== "rating" || !isRecord(data) || !isRecord(snapshot)) return null;
  const chat = inside(snapshot, "chat", "chat");
  const history = inside(chat, "history", "messages");
  if (!isRecord(chat) || !isRecord(history)) {
    throw new DataError(
      `${where}: expected the chat that was marked in "snapshot" (Open WebUI), found none. Export it again.`,
    );
  }
  const id = isRecord(meta) ? meta["message_id"] : undefined;
  const turns = branchTo(history, id);
  if (turns.at(-1)?.["role"] !== "assistant") {
    throw new DataError(
      `${where}: expected the marked answer ("message_id") in the chat of "snapshot" (Open WebUI), found none. Remove the row.`,
    );
  }
  const rating = numberOf(data["rating"]);
  if (rating !== 1 && rating !== -1) {
    throw new DataError(
      `${where}: expected a thumb, "rating" 1 or -1 (Open WebUI), got ${rating ?? "none"}. Remove the row.`,
    );
  }
  const system = inside(chat, "params", "system");
  const messages = turns.map((turn, i) => messageOf(turn, i === turns.length - 1, where));
  const first = typeof system === "string" && system !== "" ? [{ role: "system", content: system }] : [];
  return {
    value: { messages: [...first, ...messages], label: rating === 1 },
    from: ["data", "meta", "snapshot"],
  };
}

/** The messages from the chat's first to the one called `id`. */
function branchTo(history: Fields, id: unknown): Fields[] {
  const turns: Fields[] = [];
  const seen = new Set<unknown>();
  for (let next = id; typeof next === "string" && !seen.has(next); ) {
    seen.add(next);
    const turn = Object.hasOwn(history, next) ? history[next] : undefined;
    if (!isRecord(turn)) break;
    turns.unshift(turn);
    next = turn["parentId"];
  }
  return turns;
}

/** To the end of the text where it is not closed, so that no other is looked for in the same text again. */
const block = /<details type="(?:reasoning|code_interpreter)"[\s\S]*?(?:<\/details>(\s*)|$)/g;

/** Without the blocks that Open WebUI writes around thinking and code, and takes out of a chat's history before the model reads it. */
function withoutBlocks(text: string): string {
  return text.replace(block, (found, gap?: string) => (gap === undefined ? found : ""));
}

function messageOf(turn: Fields, isAnswer: boolean, where: string): Fields {
  const { role, content, files } = turn;
  if (Array.isArray(files) && files.length > 0) {
    throw new DataError(
      `${where}: expected a chat of text, got one with attached files (Open WebUI). Models are trained on text here: remove the row.`,
    );
  }
  if (typeof content !== "string") return { role, content };
  const read = withoutBlocks(content);
  if (isAnswer && read !== content) {
    throw new DataError(
      `${where}: expected the answer as the model gave it, got one whose thinking Open WebUI has put into <details>. ` +
        "Write the row as messages with reasoning_content, or remove it.",
    );
  }
  return { role, content: read };
}

/** A run of LangSmith with its feedback: inputs, outputs, and statistics of the marks by their keys. */
function langSmith(value: Fields, where: string): Made | null {
  const [inputs, outputs, feedback] = ["inputs", "outputs", "feedback_stats"].map((name) =>
    stored(value[name]),
  );
  if (!isRecord(inputs) || !isRecord(outputs) || !isRecord(feedback)) return null;
  const question = promptOf(inputs);
  const answer = answerOf(outputs);
  if (question === null || answer === null) {
    const what = question === null ? `messages or one text in "inputs"` : `one answer in "outputs"`;
    throw new DataError(
      `${where}: expected ${what} (LangSmith), got ${Object.keys(question === null ? inputs : outputs).join(", ") || "nothing"}. ` +
        `Write the row as "messages" and "label".`,
    );
  }
  const score = scoreOf(feedback, where);
  // thumbs are 1 and 0; anything between is a rating
  const mark = score === 1 || score === 0 ? { label: score === 1 } : { rating: score };
  return {
    value: { messages: [...question, { role: "assistant", content: answer }], ...mark },
    from: ["inputs", "outputs", "feedback_stats"],
  };
}

function scoreOf(feedback: Fields, where: string): number {
  const scores = Object.entries(feedback).flatMap(([key, stats]) => {
    const mean = isRecord(stats) ? numberOf(stats["avg"]) : null;
    return mean === null ? [] : [{ key, mean }];
  });
  const [first, ...others] = scores;
  const one = scores.find(({ key }) => key === "user_score") ?? (others.length === 0 ? first : undefined);
  if (one !== undefined) return one.mean;
  const found = scores.map(({ key }) => key).join(", ") || "none";
  throw new DataError(
    `${where}: expected one mark with a mean score, or one called user_score, in "feedback_stats" (LangSmith), got ${found}. ` +
      "Keep the one that says whether the answer is good.",
  );
}

const speakers: Readonly<Record<string, string>> = {
  ...{ human: "user", HumanMessage: "user", ai: "assistant", AIMessage: "assistant" },
  ...{ system: "system", SystemMessage: "system" },
};

/** Messages of LangChain, serialised or not, and of OpenAI; null where it is none. */
function turnOf(item: unknown): Fields | null {
  if (!isRecord(item)) return null;
  if (typeof item["role"] === "string") return item;
  const { id, type } = item;
  const speaker = Array.isArray(id) ? String(id.at(-1)) : String(type);
  const role = Object.hasOwn(speakers, speaker) ? speakers[speaker] : undefined;
  const fields = [item["kwargs"], item["data"], item].find((part) => isRecord(part) && "content" in part);
  return role === undefined || !isRecord(fields) ? null : { role, content: fields["content"] };
}

function turnsIn(value: unknown): Fields[] | null {
  const list = Array.isArray(value) && value.length === 1 && Array.isArray(value[0]) ? value[0] : value;
  if (!Array.isArray(list) || list.length === 0) return null;
  const turns = list.map(turnOf).filter((turn) => turn !== null);
  return turns.length === list.length ? turns : null;
}

function promptOf(inputs: Fields): Fields[] | null {
  const turns = turnsIn(inputs["messages"] ?? inputs["input"]);
  if (turns !== null) return turns;
  const text = onlyText(inputs);
  return text === null ? null : [{ role: "user", content: text }];
}

function answerOf(outputs: Fields): string | null {
  const generation = Array.isArray(outputs["generations"]) ? outputs["generations"].flat()[0] : undefined;
  const choice = Array.isArray(outputs["choices"]) ? outputs["choices"][0] : undefined;
  const last = turnsIn(outputs["messages"])?.at(-1);
  const candidates = [inside(generation, "message"), inside(choice, "message"), last, outputs["output"]];
  for (const candidate of candidates) {
    const turn = turnOf(candidate);
    if (turn?.["role"] === "assistant" && typeof turn["content"] === "string") return turn["content"];
  }
  const text = inside(generation, "text");
  return typeof text === "string" ? text : onlyText(outputs);
}

/** The text of an object that has one value, a text. */
function onlyText(value: Fields): string | null {
  const [text, ...others] = Object.values(value).filter((part) => part !== null);
  return typeof text === "string" && others.length === 0 ? text : null;
}

/** An object, also one that a column of text holds as JSON. */
function stored(value: unknown): unknown {
  return typeof value === "string" ? storedValue(value) : value;
}

function inside(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((part, key) => (isRecord(part) ? part[key] : undefined), value);
}
