/** What a column's name suggests: which column it may be meant for, and whether passing it over deserves a word. */
import { distance } from "fastest-levenshtein";

import { type ColumnName, columnNames, otherSpellings } from "../base/column-names.ts";

/** Names in use for columns that preftune calls otherwise, in lower case. Not read as such: only proposed. */
const synonyms: Readonly<Partial<Record<ColumnName, readonly string[]>>> = {
  prompt: [
    "question",
    "instruction",
    "query",
    "input",
    "inputs",
    "prompts",
    "post",
    "user",
    "human",
    "task",
    "problem",
    "dialogue",
    "dialog",
    "user_input",
    "user_prompt",
    "messages",
    "conversations",
    "conversation",
  ],
  chosen: [
    "good",
    "best",
    "better",
    "preferred",
    "accepted",
    "positive",
    "winner",
    "response_chosen",
    "chosen_answer",
    "answer_chosen",
    "response_j",
  ],
  rejected: [
    "bad",
    "worst",
    "worse",
    "dispreferred",
    "negative",
    "loser",
    "response_rejected",
    "rejected_answer",
    "answer_rejected",
    "response_k",
  ],
  completion: ["response", "answer", "output", "outputs", "target", "summary"],
  messages: ["dialogue", "dialog", "turns"],
  system: ["system_message", "system_instruction"],
  input: ["context"],
};

/** Columns that a row may have beside its prompt and answers. */
const sideColumns = [
  "system",
  "tools",
  "chat_template_kwargs",
  "input",
  "history",
  "ref_chosen_logps",
  "ref_rejected_logps",
] as const;

/** Columns that belong to a row by their name but to no column that could be mapped. */
const otherContent: ReadonlySet<string> = new Set([
  "context",
  "document",
  "documents",
  "thinking",
  "reasoning",
  "reasoning_content",
  "functions",
  "label",
  "labels",
  "kto_tag",
  "weight",
]);

/** Close to names with a meaning, but for something else. */
const harmless: RegExp = /(^|_)(ids?|idx|index|len|length|tokens|score|scores|rating|ratings|model)$/;

/** Columns of labels, which may have several words. */
const labels: RegExp =
  /(^|_)(source|dataset|category|categories|language|lang|date|time|timestamp|created_at|url|link|type|kind|split|status|license|hash|version|author|annotator|topic|tags?)$/;

const known: ReadonlySet<string> = new Set<string>(
  // pairs and answers without labels come with ratings that nobody asked for
  [...columnNames, ...Object.values(otherSpellings).flat()].filter((name) => !name.startsWith("rating")),
);

/** True when a row that does not use this column may have lost a part of itself. */
export function promisesContent(column: string, value: unknown): boolean {
  const name = (column.split(".").at(-1) ?? column).toLowerCase();
  let promises = promising.get(name);
  if (promises === undefined) {
    promises =
      known.has(name) ||
      otherContent.has(name) ||
      Object.values(synonyms).some((names) => names.includes(name)) ||
      closeName(name, known) !== null;
    // Names are few and come in every row; rows that make up new ones must not fill the memory.
    if (promising.size < 1000) promising.set(name, promises);
  }
  return promises || isMessages(value);
}

/** What `promisesContent` found of names. */
const promising: Map<string, boolean> = new Map();

/** True when a column may be the prompt of a row that names none: by its name, or because it holds text or messages. */
export function mayBePrompt(column: string, value: unknown): boolean {
  const name = column.toLowerCase();
  if (isMessages(value) || isText(name, value)) return true;
  const names = ["prompt", ...(synonyms.prompt ?? []), ...(synonyms.messages ?? []), "context", "history"];
  return names.includes(name) || closeName(name, ["prompt", "question", "instruction", "query"]) !== null;
}

/** What people write, not a label: more than one word, or a sentence's end, in a column that is not named for labels. */
function isText(name: string, value: unknown): boolean {
  if (typeof value !== "string" || harmless.test(name) || labels.test(name)) return false;
  return /\p{L}/u.test(value) && (/\S\s+\S/.test(value) || /[?.!:]\s*$/.test(value) || value.length > 40);
}

/** The column among `found` that is probably meant for `name`, or null. */
export function likelyColumn(name: ColumnName, found: readonly string[]): string | null {
  const synonym = found.find((column) => synonyms[name]?.includes(column.toLowerCase()));
  if (synonym !== undefined) return synonym;
  return found.find((column) => closeName(column.toLowerCase(), [name]) !== null) ?? null;
}

/** ` As the system message: columns: {system: system_message}.` for a column whose name suggests that; else nothing. */
export function meaningHint(column: string, used: readonly string[]): string {
  const mayHave = (name: ColumnName): boolean =>
    !used.includes(name) && (!["input", "history"].includes(name) || used.includes("instruction"));
  const name = sideColumns.find((one) => mayHave(one) && likelyColumn(one, [column]) !== null);
  return name === undefined ? "" : ` As "${name}": ${columnsKey({ [name]: column })}.`;
}

/** `columns: {...}` as it can be pasted into YAML, or behind `--columns` in quotes. */
export function columnsKey(map: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(map).map(([name, column]) => `${name}: ${yamlWord(column)}`);
  return `columns: {${pairs.join(", ")}}`;
}

function yamlWord(word: string): string {
  const isPlain = /^[A-Za-z_][\w.-]*$/.test(word) && !/^(null|true|false|yes|no|on|off)$/i.test(word);
  return isPlain ? word : JSON.stringify(word);
}

/** The name among `names` that `column`, in small letters, differs from by a likely typo or not at all, or null. */
function closeName(column: string, names: Iterable<string>): string | null {
  if (column.length < 4 || harmless.test(column)) return null;
  const most = column.length > 6 ? 2 : 1;
  for (const name of names) {
    if (distance(column, name) <= most) return name;
  }
  return null;
}

function isMessages(value: unknown): boolean {
  const isMessage = (item: unknown): boolean =>
    typeof item === "object" && item !== null && ("role" in item || "from" in item);
  return Array.isArray(value) && value.length > 0 && value.every(isMessage);
}
