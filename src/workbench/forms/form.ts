/** What a form of labelled data is: how its rows are told, read and written. */
import { DataError } from "../../base/errors.ts";
import { isRecord } from "../../base/is-record.ts";
import type { Answer } from "../../data/answer-columns.ts";
import type { ColumnMap } from "../../data/columns.ts";
import { readConversation } from "../../data/conversations.ts";
import type { RawRow } from "../../data/example.ts";
import { describeOrigin } from "../../data/example.ts";
import { nameOf } from "../../text/json-number.ts";
import type { Choice, Comparison } from "../comparison.ts";

/** Names of the forms. */
export type FormName = "pairs" | "battles" | "label-studio" | "argilla" | "open-webui" | "table";

/** A row that is no comparison, with the reason, under which it is counted. */
export class NoComparison extends DataError {
  readonly reason: string;

  constructor(reason: string) {
    super(reason);
    this.reason = reason;
  }
}

/** One form of labelled data. */
export interface Form {
  name: FormName;
  /** What it is, for messages and documentation. */
  words: string;
  fits(columns: Readonly<Record<string, unknown>>): boolean;
  /**
   * @param columns - the file's names of columns, of pairs alone
   * @throws {NoComparison} where the row holds no two answers; {@link DataError} where it is faulty
   */
  read(row: RawRow, columns?: ColumnMap): Comparison;
  /** The row that {@link read} reads as this comparison. */
  write(comparison: Comparison): Record<string, unknown>;
}

/** Place and column, to begin messages with. */
export function placeOf(row: RawRow, column: string): string {
  return `${describeOrigin(row.origin)}, "${column}"`;
}

/** An object, or null for everything else. */
export function objectIn(value: unknown): Record<string, unknown> | null {
  return isRecord(value) ? value : null;
}

/** The objects of a list; none where it is no list. */
export function objectsIn(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.map(objectIn).filter((item) => item !== null) : [];
}

/** A text, or null. */
export function textIn(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

/** The name of a person or model: a text, or a number as some tools count them. */
export function nameIn(value: unknown): string | null {
  return nameOf(value) || null;
}

/** The choice that a word stands for, or null. */
export function choiceIn(words: Readonly<Record<string, Choice>>, word: unknown): Choice | null {
  return typeof word === "string" && Object.hasOwn(words, word) ? (words[word] ?? null) : null;
}

/** A text or messages, wherever a column may hold either. @throws {DataError} naming the place for anything else */
export function answerIn(value: unknown, place: string): Answer {
  if (typeof value === "string") return value;
  if (Array.isArray(value) || objectIn(value) !== null) return readConversation(value, place);
  throw new DataError(
    `${place}: expected a text or a list of messages, got ${value === undefined ? "nothing" : JSON.stringify(value).slice(0, 40)}.`,
  );
}

/** All but the named columns. */
export function without(
  columns: Readonly<Record<string, unknown>>,
  names: readonly string[],
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(columns).filter(([name]) => !names.includes(name)));
}

/** Refuses to write a comparison of several judgments in a form that has room for one. */
export function onlyVote({ votes }: Comparison, words: string): Comparison["votes"][number] | null {
  if (votes.length > 1) {
    throw new DataError(
      `expected one judgment a row for ${words}, got ${votes.length}. Export pairs instead, with a rule for conflicts.`,
    );
  }
  return votes[0] ?? null;
}
