/** Rows that are made for something else than pairs of text, refused in words that say what they are. */
import { DataError } from "../base/errors.ts";
import type { RowColumns } from "./columns.ts";
import { describeOrigin, type RawRow } from "./example.ts";
import { plainLabel, ratingOf } from "./labels.ts";

interface OtherForm {
  /** True for the columns of a row of this form. */
  fits: (has: (name: string) => boolean, value: Readonly<Record<string, unknown>>) => boolean;
  /** What it is and what to do, to follow "expected a chosen and a rejected answer, got". */
  words: string;
}

const isRankedList = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every((item) => typeof item === "object" && item !== null && !("role" in item) && !("from" in item));

const otherForms: readonly OtherForm[] = [
  {
    fits: (has) => has("completion") && (has("label") || has("kto_tag")),
    words:
      'one answer and whether it is good ("label"): the data is unpaired. `preftune data pair` makes pairs of the good ' +
      "and the bad answers to one prompt; or train on the rows as they are with an objective over labelled answers, or on the good ones with objective: sft",
  },
  {
    fits: (has) => has("kto_tag"),
    words:
      'answers marked as good or bad ("kto_tag"): the data is unpaired. `preftune data pair` makes pairs of the good ' +
      "and the bad answers to one prompt",
  },
  {
    fits: (has) => has("human_ref_A") && has("human_ref_B"),
    words:
      'two answers and a label (SHP): chosen is "human_ref_A" where "labels" is 1, else "human_ref_B"; the prompt is ' +
      '"history". Write these columns',
  },
  {
    fits: (has) => has("answer_0") && has("answer_1"),
    words:
      'two answers and their scores (WebGPT): chosen is the one of the higher "score_0" or "score_1"; where both are equal ' +
      "there is nothing to prefer. Write these columns",
  },
  {
    fits: (has) => ["response_0", "response_1"].every(has) || ["response1", "response2"].every(has),
    words:
      "two answers and a verdict beside them: chosen is the one that the verdict prefers. Write these columns, and leave " +
      "ties out",
  },
  {
    fits: (has) => has("conversation_a") && has("conversation_b"),
    words:
      'two conversations and a winner: chosen is the conversation of the "winner". preftune labels import and labels export ' +
      "make pairs of them, or write these columns, and leave ties out",
  },
  {
    fits: (_, value) =>
      ["answers", "completions", "responses", "summaries"].some((name) => isRankedList(value[name])),
    words:
      "a list of answers with ranks or scores (as in Nectar and UltraFeedback): the data is ranked. Write a row for each " +
      "pair, the better answer as chosen",
  },
];

/** @throws DataError for a row of a form that has no pair: KTO's, or answers with a label, ranks or scores */
export function refuseUnpaired({ origin, value }: RawRow): void {
  const has = (name: string): boolean => value[name] !== undefined && value[name] !== null;
  const form = otherForms.find(({ fits }) => fits(has, value));
  if (form === undefined) return;
  throw new DataError(
    `${describeOrigin(origin)}: expected a chosen and a rejected answer, got ${form.words}.`,
  );
}

/** A row whose own label says that its answer is a bad one: there is nothing wrong with it, and nothing in it to learn from alone. */
export class MarkedBadError extends DataError {}

/**
 * @param threshold - ratings below are bad, where the row has no label; null: they say nothing
 * @throws MarkedBadError for a row whose own label or rating says that its answer is a bad one
 */
export function refuseLabelledBad(columns: RowColumns, threshold: number | null): void {
  const label = plainLabel(columns);
  const rating = label === null && threshold !== null ? ratingOf(columns) : null;
  const isBelow = rating !== null && threshold !== null && rating < threshold;
  if (label !== false && !isBelow) return;
  const [column, said] = isBelow
    ? (["rating", `below rating_threshold ${threshold}`] as const)
    : (["label", `${columns.nameOf("label")}: false`] as const);
  throw new MarkedBadError(
    `${columns.place(column)}: expected an answer to learn, got one that is marked as bad (${said}). Remove the row.`,
  );
}

const media = ["image", "images", "video", "videos", "audio", "audios"];

/** @throws DataError for a row with images, audio or other things that are not text */
export function refuseOtherMedia(columns: RowColumns): void {
  for (const column of [...media, "functions"]) {
    const value = columns.other(column);
    if (value === undefined || value === "" || (Array.isArray(value) && value.length === 0)) continue;
    const remedy =
      column === "functions"
        ? `Write them as "tools": [{"type": "function", "function": {...}}].`
        : "Models are trained on text here: remove the row or the column.";
    throw new DataError(`${columns.where}: expected no column "${column}". ${remedy}`);
  }
}
