/** A row as filters look at it: its text, its tokens where there is a model, and what the checks of `data check` say of it. */
import { DataError } from "../../base/errors.ts";
import { sha256 } from "../../base/files.ts";
import { type ColumnMap, RowColumns } from "../../data/columns.ts";
import { encodeRows, type RowProblem } from "../../data/encoder.ts";
import type { Example, Origin, RawRow } from "../../data/example.ts";
import type { FindingCode } from "../../data/findings.ts";
import { promptKeyOf, rowKeyOf } from "../../data/fingerprint.ts";
import { type LengthLimit, lengthLimit, lengthWords, sequenceLength } from "../../data/overflow.ts";
import { rowFaults, rowWarnings, type TokenizerFacts } from "../../data/row-checks.ts";
import { rowNotes } from "../../data/row-notes.ts";
import { requireSize } from "../../data/row-size.ts";
import { type NormalRow, normaliseRow } from "../../data/rows.ts";
import { typedValues } from "../../data/text-rows.ts";
import { plainText } from "../../text/message-text.ts";
import type { ModelText } from "../../text/open-text.ts";
import { EmptyAnswerError } from "../../text/source-rows.ts";

/** A row to keep or to take out. */
export interface CleanRow {
  origin: Origin;
  /** As its file has it; null where it cannot be read at all. */
  value: unknown;
  /** The same where it is kept: read from a file of JSON lines it is the same row. */
  kept: unknown;
  /** Why training on pairs makes nothing of it; null: it does. */
  unusable: FindingCode | null;
  /** It is a row of one answer, which is no pair and may be a good row for another objective. */
  isOneAnswer: boolean;
  /** Texts of prompt, chosen and rejected answer; none of a row of token ids, or one that cannot be read. */
  prompt: string;
  answers: readonly string[];
  /** The same where rows have the same tools and template variables. */
  inputs: string;
  /** What rows of the same prompt, and of the same prompt and answers, have in common: their tokens where there is a model. */
  promptKey: string;
  rowKey: string;
  /** What the checks find in it, each with what they say. */
  codes: ReadonlyMap<FindingCode, string>;
  /** Those of them that stop a training, unless its keys invalid_rows or overflow say otherwise. */
  faults: readonly FindingCode[];
}

/** How rows are read. */
export interface CleanReading {
  /** See `RowOptions.strings`; null: the default. */
  plain_strings: "text" | "chat" | null;
  /** What tokens are needed for; null: rows are looked at as text. */
  model: CleanText | null;
}

/** What turns rows into tokens, and how many they may have. */
export interface CleanText {
  text: ModelText;
  facts: TokenizerFacts;
  /** Tokens of the longest row; null: any. */
  maxLength: number | null;
  context: number | null;
}

/** A row with the names of its columns; null: the usual ones. */
export interface MappedRow {
  row: RawRow;
  columns: ColumnMap | null;
}

interface ReadRow extends MappedRow {
  normal: NormalRow;
}

/** Rows that go to the encoder at once. */
const atOnce = 64;

/** The rows with what the checks say of each. */
export async function* cleanRows(
  rows: AsyncIterable<MappedRow>,
  reading: CleanReading,
): AsyncGenerator<CleanRow> {
  const { model } = reading;
  let batch: ReadRow[] = [];
  const flush = async (): Promise<CleanRow[]> => {
    const whole = batch;
    batch = [];
    const normals = whole.map(({ normal }) => normal);
    const encoded = model === null ? [] : await encodeRows(normals, model.text.encoder);
    return whole.map((one, i) => readable(one, encoded[i] ?? null, model));
  };
  for await (const mapped of rows) {
    const normal = normalOrProblem(mapped, reading);
    if ("codes" in normal) {
      yield* await flush();
      yield normal;
      continue;
    }
    batch.push({ ...mapped, normal });
    if (batch.length === atOnce) yield* await flush();
  }
  yield* await flush();
}

/** A row with what the checks say of its text; of a row of one answer, which is no faulty pair, they say nothing. */
export function cleanRowOf(mapped: MappedRow): CleanRow {
  const normal = normalOrProblem(mapped, { plain_strings: null });
  if (!("codes" in normal)) return readable({ ...mapped, normal }, null, null);
  return normal.isOneAnswer ? { ...normal, codes: new Map() } : normal;
}

function normalOrProblem(
  { row, columns }: MappedRow,
  { plain_strings: strings }: Pick<CleanReading, "plain_strings">,
): NormalRow | CleanRow {
  try {
    requireSize(row);
    return normaliseRow(row, {
      ...{ task: "preference", columns: columns ?? {}, mayTakeText: true },
      ...(strings === null ? {} : { strings }),
    });
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    const code = error instanceof EmptyAnswerError ? "empty_answer" : "invalid_row";
    const value = readValue(row);
    const none = { prompt: "", answers: [], inputs: "", promptKey: "", rowKey: "" };
    const codes = new Map<FindingCode, string>([[code, error.message]]);
    const isOneAnswer = readsAsOneAnswer(row, columns ?? {});
    return {
      origin: row.origin,
      value,
      kept: value,
      unusable: code,
      isOneAnswer,
      ...none,
      codes,
      faults: [code],
    };
  }
}

function readsAsOneAnswer(row: RawRow, columns: ColumnMap): boolean {
  return (["labelled", "sft"] as const).some((task) => {
    try {
      const names = new RowColumns(row, columns);
      if (names.has("chosen") || names.has("rejected")) return false;
      normaliseRow(row, { task, columns });
      return true;
    } catch (error) {
      if (error instanceof DataError) return false;
      throw error;
    }
  });
}

function readValue(row: RawRow): unknown {
  try {
    return row.value;
  } catch {
    return null;
  }
}

function readable(
  { row, columns, normal }: ReadRow,
  encoded: Example | RowProblem | null,
  model: CleanText | null,
): CleanRow {
  const text = textOf(normal);
  const example = encoded === null || "code" in encoded ? null : encoded;
  const problem = encoded !== null && "code" in encoded ? encoded : null;
  const found: Found = { faults: new Map(), notes: new Map() };
  for (const code of rowNotes(row, normal.source, { task: "preference", isTextDoubtful: false }))
    found.notes.set(code, "");
  const [chosen, rejected] = text.keys;
  if (chosen === rejected) found.faults.set("identical_pair", "");
  if (problem !== null) found.faults.set(problem.code, problem.message);
  if (example !== null && model !== null) findInTokens(found, example, model);
  const { prompt, answers, inputs } = text;
  const asked = [normal.source?.kind ?? "ids", text.promptKey, inputs];
  return {
    ...{ origin: row.origin, value: row.value },
    ...{ unusable: problem?.code ?? null, isOneAnswer: false, prompt, answers, inputs },
    // made where they are asked for
    get kept() {
      return typedValues(row, columns ?? {});
    },
    get promptKey() {
      return example === null ? digestOf(asked) : promptKeyOf(example);
    },
    get rowKey() {
      return example === null ? digestOf([...asked, ...text.keys]) : rowKeyOf(example);
    },
    codes: new Map([...found.notes, ...found.faults]),
    faults: [...found.faults.keys()],
  };
}

/** What a row says. Keys of a row of token ids, which has no text, are its ids. */
interface RowText extends Pick<CleanRow, "prompt" | "answers" | "inputs" | "promptKey"> {
  /** Of the chosen and the rejected answer. */
  keys: readonly string[];
}

function textOf({ source, tokens }: NormalRow): RowText {
  if (source?.kind === "chat" || source?.kind === "text") {
    const [prompt, answers] = [plainText(source.prompt), source.completions.map(plainText)];
    const { tools = null, variables = {} } = source.kind === "chat" ? source : {};
    const inputs = digestOf([JSON.stringify(tools), JSON.stringify(variables)]);
    return { prompt, answers, inputs, promptKey: prompt, keys: answers };
  }
  const keys = (tokens?.completions ?? []).map(({ ids }) => ids.join(" "));
  return { prompt: "", answers: [], inputs: "", promptKey: (tokens?.promptIds ?? []).join(" "), keys };
}

/** Digests: the texts of a large file would not fit into memory. */
function digestOf(parts: readonly string[]): string {
  return sha256(JSON.stringify(parts)).slice(0, 32);
}

/** What is found in a row: what stops a training, and all else. */
type Found = Record<"faults" | "notes", Map<FindingCode, string>>;

function findInTokens(
  { faults, notes }: Found,
  example: Example,
  { facts, maxLength, context }: CleanText,
): void {
  for (const code of rowWarnings(example, facts)) notes.set(code, "");
  for (const code of rowFaults(example, facts)) faults.set(code, "");
  const tokens = sequenceLength(example);
  const longer = (limit: LengthLimit | null): string | null =>
    limit === null || tokens <= limit.tokens ? null : lengthWords(tokens, limit);
  const [beyondOwn, beyondContext] = [
    longer(lengthLimit(maxLength, null)),
    longer(lengthLimit(null, context)),
  ];
  if (beyondOwn !== null) faults.set("too_long", beyondOwn);
  if (beyondContext !== null) faults.set("longer_than_context", beyondContext);
  const cut = longer(lengthLimit(maxLength, context));
  if (cut === null) return;
  notes.set("truncated", cut);
  if (example.referenceLogps !== undefined) notes.set("reference_of_cut_row", cut);
}
