/** Pairs of rows of one labelled answer: the good and the bad answers to one prompt. */
import { DataError } from "../base/errors.ts";
import type { SourceRow } from "../text/source-rows.ts";
import { describeOrigin, type RawRow } from "./example.ts";
import { type NormalRow, normaliseRow, type RowOptions } from "./rows.ts";
import type { TokenisedContent } from "./tokenised.ts";

/** Which answers of a prompt are paired: every good one with every bad one, or one pair of the best and the worst. */
export type Pairing = "all" | "best-worst";

/** How rows are read and paired. */
export interface PairingOptions
  extends Pick<RowOptions, "columns" | "rating_threshold" | "strings" | "mayTakeText"> {
  pairing: Pairing;
  /** "drop" leaves rows with errors out and counts them. Default "error". */
  invalid_rows?: "error" | "drop";
}

/** What became of the rows. */
export interface PairingCounts {
  read: number;
  /** Rows with errors that were left out. */
  invalid: number;
  /** Rows of an answer that an earlier row has with the same label. */
  repeated: number;
  /** Answers that are good in one row and bad in another: in no pair. */
  contradictory: number;
  prompts: number;
  /** Prompts that have a good and a bad answer. */
  paired: number;
  /** Answers to other prompts: there is nothing to pair them with. */
  unpaired: number;
  pairs: number;
}

/** Pairs as rows of a file, and what became of the rows that they were made of. */
export interface Paired {
  rows: Record<string, unknown>[];
  counts: PairingCounts;
}

/** An answer of a row, unchanged, and how it was rated; 0 where it was not. */
interface LabelledAnswer {
  answer: unknown;
  isGood: boolean;
  rating: number;
}

/** The answers to a prompt, by their text. */
interface Asked {
  /** The columns of the prompt, and the names of the answers' ones. */
  prompt: Record<string, unknown>;
  names: readonly [chosen: string, rejected: string];
  answers: Map<string, LabelledAnswer>;
  contradictory: Set<string>;
}

/**
 * Pairs of `rows`, in the order in which prompts first come.
 *
 * @throws DataError for a row that is none of one labelled answer
 */
export async function pairLabelled(rows: AsyncIterable<RawRow>, options: PairingOptions): Promise<Paired> {
  const asked = new Map<string, Asked>();
  const counts = {
    read: 0,
    invalid: 0,
    repeated: 0,
    contradictory: 0,
    prompts: 0,
    paired: 0,
    unpaired: 0,
    pairs: 0,
  };
  for await (const row of rows) {
    counts.read++;
    const normal = readOr(row, options);
    if (normal === null) counts.invalid++;
    else if (!added(asked, normal)) counts.repeated++;
  }
  const paired: Record<string, unknown>[] = [];
  for (const { prompt, names, answers, contradictory } of asked.values()) {
    counts.prompts++;
    counts.contradictory += contradictory.size;
    const usable = [...answers].flatMap(([key, answer]) => (contradictory.has(key) ? [] : [answer]));
    const pairs = pairsOf(usable, options.pairing);
    if (pairs.length === 0) counts.unpaired += usable.length;
    else counts.paired++;
    for (const [good, bad] of pairs) paired.push({ ...prompt, [names[0]]: good, [names[1]]: bad });
  }
  counts.pairs = paired.length;
  return { rows: paired, counts };
}

function readOr(
  row: RawRow,
  { pairing: _, invalid_rows = "error", ...how }: PairingOptions,
): NormalRow | null {
  try {
    const normal = normaliseRow(row, { task: "labelled", ...how });
    refuseMask(normal);
    return normal;
  } catch (error) {
    if (invalid_rows === "drop" && error instanceof DataError) return null;
    throw error;
  }
}

/** A row of a pair has no mask: tokens that this one leaves out of the loss would be learned. */
function refuseMask({ origin, tokens }: NormalRow): void {
  if (tokens?.completions.some(({ mask }) => mask?.includes(0) === true) !== true) return;
  throw new DataError(
    `${describeOrigin(origin)}: expected a row whose whole answer counts, since rows of pairs have no mask, got a completion_mask ` +
      "with zeros. Remove the row, or train on it with an objective over labelled answers.",
  );
}

/** Adds the row's answer to those of its prompt. @returns false where it is there with the same label */
function added(asked: Map<string, Asked>, { source, tokens, label = false, rating = 0 }: NormalRow): boolean {
  const { key, prompt, names, answer } = tokens === null ? textOf(source) : tokensOf(tokens);
  const known = asked.get(key) ?? { prompt, names, answers: new Map(), contradictory: new Set() };
  asked.set(key, known);
  const text = JSON.stringify(answer);
  const before = known.answers.get(text);
  if (before === undefined) known.answers.set(text, { answer, isGood: label, rating });
  else if (before.isGood !== label) known.contradictory.add(text);
  return before === undefined || before.isGood !== label;
}

interface RowParts extends Pick<Asked, "prompt" | "names"> {
  /** Identity of the prompt. */
  key: string;
  answer: unknown;
}

function textOf(source: SourceRow | null): RowParts {
  if (source === null || source.kind === "plain" || source.kind === "conversation") {
    throw new Error("a row of one labelled answer has a prompt and an answer");
  }
  const { prompt, completions } = source;
  const tools = source.kind === "chat" ? (source.tools ?? null) : null;
  const variables = source.kind === "chat" ? (source.variables ?? null) : null;
  const inputs = {
    ...(tools === null ? {} : { tools }),
    ...(variables === null ? {} : { chat_template_kwargs: variables }),
  };
  const names = ["chosen", "rejected"] as const;
  // A prompt column that ends in an assistant's turn would be continued: where that turn is complete, the answers hold the prompt.
  const isComplete =
    source.kind === "chat" &&
    source.prompt.at(-1)?.role === "assistant" &&
    source.continueFinalMessage !== true;
  const key = JSON.stringify({ prompt, ...inputs, isComplete });
  return isComplete
    ? { key, prompt: inputs, names, answer: [...prompt, ...(completions[0] ?? [])] }
    : { key, prompt: { prompt, ...inputs }, names, answer: completions[0] };
}

function tokensOf({ promptIds, completions }: TokenisedContent): RowParts {
  return {
    key: JSON.stringify(promptIds),
    prompt: { prompt_ids: promptIds },
    names: ["chosen_ids", "rejected_ids"],
    answer: completions[0]?.ids,
  };
}

/** [good, bad]; with ratings the best is the one rated highest and the worst the one rated lowest, else the first of each. */
function pairsOf(answers: readonly LabelledAnswer[], pairing: Pairing): [good: unknown, bad: unknown][] {
  const good = answers.filter(({ isGood }) => isGood);
  const bad = answers.filter(({ isGood }) => !isGood);
  if (pairing === "all")
    return good.flatMap((one) => bad.map((other) => [one.answer, other.answer] as [unknown, unknown]));
  const best = good.toSorted((a, b) => b.rating - a.rating)[0];
  const worst = bad.toSorted((a, b) => a.rating - b.rating)[0];
  return best === undefined || worst === undefined ? [] : [[best.answer, worst.answer]];
}
