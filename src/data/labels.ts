/** Whether the answer of a row is a good one: its label, or its rating and a threshold. */
import { DataError } from "../base/errors.ts";
import { numberInText, numberOf } from "../text/json-number.ts";
import type { ColumnName, RowColumns } from "./columns.ts";
import type { Example } from "./example.ts";
import { storedValue } from "./stored-text.ts";

/** What good and bad answers count in the loss, under the names of a run's configuration. */
export interface LabelWeights {
  desirable_weight: number;
  undesirable_weight: number;
}

/** Rows of one answer by their label. */
export interface LabelCounts {
  good: number;
  bad: number;
}

/**
 * The row's label; null where it has neither label nor rating.
 *
 * @param threshold - a rating is good from here on; null: there is none
 * @throws DataError for a label that is not true or false, a rating that is no number, and one without a threshold
 */
function labelOf(columns: RowColumns, threshold: number | null): boolean | null {
  if (columns.exists("label")) return readLabel(columns);
  if (!columns.has("rating")) return null;
  const rating = meanOf(columns);
  if (threshold !== null) return rating >= threshold;
  throw new DataError(
    `${columns.place("rating")}: expected a label, true or false, got a rating alone. Set rating_threshold, from which on ratings are good.`,
  );
}

/** The label that a row must have. @throws DataError as `labelOf`, and where there is none */
export function requireLabel(columns: RowColumns, threshold: number | null): boolean {
  const label = labelOf(columns, threshold);
  if (label !== null) return label;
  throw columns.missing(
    `"label" (true: the answer is good, false: it is bad), or "rating" with rating_threshold, beside the answer`,
  );
}

/** Counts of examples by label. */
export function labelCounts(examples: readonly Pick<Example, "label">[]): LabelCounts {
  const good = examples.filter(({ label }) => label === true).length;
  return { good, bad: examples.filter(({ label }) => label === false).length };
}

/**
 * The labels of a row that need not have one: true or false, of each of several people. None where there are none, or some of
 * another kind, such as the class of a text.
 */
function plainLabels(columns: RowColumns): boolean[] {
  const given = columns.peek("label");
  const labels = (responsesIn(columns, "label", given) ?? [given]).map((one) => asLabel(one, columns.isText));
  if (labels.includes(null)) return [];
  columns.get("label");
  return labels.filter((label) => label !== null);
}

/** Whether somebody says that the row's answer is a bad one. */
export function isMarkedBad(columns: RowColumns): boolean {
  return plainLabels(columns).includes(false);
}

/**
 * The label of a row that need not have one; null where there is none, or one of another kind.
 *
 * @throws DataError where people differ
 */
export function plainLabel(columns: RowColumns): boolean | null {
  const labels = plainLabels(columns);
  const [first = null] = labels;
  if (labels.every((label) => label === first)) return first;
  throw new DataError(
    `${columns.place("label")}: expected answers that agree, got ${labels.length}, some true and some false. Settle it, or remove the row.`,
  );
}

function readLabel(columns: RowColumns): boolean {
  const label = plainLabel(columns);
  if (label !== null) return label;
  const given = columns.get("label");
  const values = responsesIn(columns, "label", given) ?? [given];
  const error = columns.wrongType("label", "true or false");
  const isNumber = values.length > 0 && values.every((value) => numberOf(value) !== null);
  if (!isNumber) throw error;
  throw new DataError(
    `${error.message} If it is a rating, set columns: {rating: ${columns.nameOf("label")}} and rating_threshold.`,
  );
}

/** The label that a value is, in CSV also as text; null: none. */
export function asLabel(value: unknown, isText: boolean): boolean | null {
  if (typeof value === "boolean") return value;
  if (!isText || typeof value !== "string") return null;
  return { true: true, false: false }[value.toLowerCase()] ?? null;
}

/** The mean of the ratings that a row has, beside a label too; null where there are none, or a label stands beside what is no number. */
export function ratingOf(columns: RowColumns): number | null {
  if (!columns.has("rating")) return null;
  return columns.exists("label") ? meanIn(columns) : meanOf(columns);
}

/** @throws {DataError} where the rating is no number */
function meanOf(columns: RowColumns): number {
  const mean = meanIn(columns);
  if (mean === null) throw columns.wrongType("rating", "a number, or a list of numbers");
  return mean;
}

/** The mean of the ratings that a row has; null where one is no number. */
function meanIn(columns: RowColumns): number | null {
  const given = columns.get("rating");
  const values = responsesIn(columns, "rating", given) ?? [given];
  const ratings = values.map((value) =>
    columns.isText && typeof value === "string" ? numberInText(value) : numberOf(value),
  );
  const finite = ratings.filter((rating): rating is number => rating !== null && Number.isFinite(rating));
  if (finite.length === 0 || finite.length < ratings.length) return null;
  return finite.reduce((sum, rating) => sum + rating, 0) / finite.length;
}

/** Argilla's responses to a question, those that were submitted, as plain values; null where the value is no list. */
function responsesIn(columns: RowColumns, name: ColumnName, given: unknown): unknown[] | null {
  const value = columns.isText && typeof given === "string" ? (storedValue(given) ?? given) : given;
  if (!Array.isArray(value)) return null;
  const statuses = columns.other(`${columns.nameOf(name)}.status`);
  const isSubmitted = (item: unknown, i: number): boolean => {
    const status = Array.isArray(statuses) ? statuses[i] : Object(item)["status"];
    return status === undefined || status === null || status === "submitted";
  };
  const isResponse = (item: unknown): item is { value: unknown } =>
    typeof item === "object" && item !== null && "value" in item;
  return value.filter(isSubmitted).map((item) => (isResponse(item) ? item.value : item));
}
