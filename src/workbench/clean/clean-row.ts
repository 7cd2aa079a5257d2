/** A row as filters look at it: its text, its tokens where there is a model, and what the checks of `data check` say of it. */
import { DataError } from "../../base/errors.ts";
import { encodeRows } from "../../data/encoder.ts";
import type { Example, Origin, RawRow } from "../../data/example.ts";
import type { FindingCode } from "../../data/findings.ts";
import { sequenceLength } from "../../data/overflow.ts";
import { rowFaults, type TokenizerFacts } from "../../data/row-checks.ts";
import { rowNotes } from "../../data/row-notes.ts";
import { type NormalRow, normaliseRow } from "../../data/rows.ts";
import { plainText } from "../../text/message-text.ts";
import type { ModelText } from "../../text/open-text.ts";
import { EmptyAnswerError } from "../../text/source-rows.ts";

/** A row to keep or to take out. */
export interface CleanRow {
  origin: Origin;
  /** As its file has it; null where it cannot be read at all. */
  value: unknown;
  prompt: string;
  /** The chosen and the rejected answer; fewer where the row cannot be read. */
  answers: readonly string[];
  /** What the checks find in it, each with what they say. */
  codes: ReadonlyMap<FindingCode, string>;
}

/** What tokens are needed for. */
export interface CleanText {
  text: ModelText;
  facts: TokenizerFacts;
  /** Longest row in tokens; null: any. */
  maxLength: number | null;
}

/** Rows that go to the encoder at once. */
const atOnce = 64;

/** The rows with what the checks say of each. */
export async function* cleanRows(
  rows: AsyncIterable<RawRow>,
  model: CleanText | null,
): AsyncGenerator<CleanRow> {
  let batch: { row: RawRow; normal: NormalRow }[] = [];
  const flush = async (): Promise<CleanRow[]> => {
    const whole = batch;
    batch = [];
    const normals = whole.map(({ normal }) => normal);
    const encoded = model === null ? [] : await encodeRows(normals, model.text.encoder);
    return whole.map((one, i) => readable(one, encoded[i] ?? null, model));
  };
  for await (const row of rows) {
    const normal = normalOrProblem(row);
    if ("codes" in normal) {
      yield* await flush();
      yield normal;
      continue;
    }
    batch.push({ row, normal });
    if (batch.length === atOnce) yield* await flush();
  }
  yield* await flush();
}

/** A row with what the checks say of its text. */
export function cleanRowOf(row: RawRow): CleanRow {
  const normal = normalOrProblem(row);
  return "codes" in normal ? normal : readable({ row, normal }, null, null);
}

function normalOrProblem(row: RawRow): NormalRow | CleanRow {
  try {
    return normaliseRow(row, { task: "preference" });
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    const code = error instanceof EmptyAnswerError ? "empty_answer" : "invalid_row";
    const codes = new Map<FindingCode, string>([[code, error.message]]);
    return { origin: row.origin, value: readValue(row), prompt: "", answers: [], codes };
  }
}

function readValue(row: RawRow): unknown {
  try {
    return row.value;
  } catch {
    return null;
  }
}

function readable(
  { row, normal }: { row: RawRow; normal: NormalRow },
  encoded: Example | { code: FindingCode; message: string } | null,
  model: CleanText | null,
): CleanRow {
  const { source } = normal;
  const isPair = source?.kind === "chat" || source?.kind === "text";
  const prompt = isPair ? plainText(source.prompt) : "";
  const answers = isPair ? source.completions.map(plainText) : [];
  const codes = new Map<FindingCode, string>();
  for (const code of rowNotes(row, source, { task: "preference", isTextDoubtful: false }))
    codes.set(code, "");
  if (answers.length === 2 && answers[0] === answers[1]) codes.set("identical_pair", "");
  if (encoded !== null && "code" in encoded) codes.set(encoded.code, encoded.message);
  else if (encoded !== null && model !== null) addTokenCodes(codes, encoded, model);
  return { origin: row.origin, value: row.value, prompt, answers, codes };
}

function addTokenCodes(
  codes: Map<FindingCode, string>,
  example: Example,
  { facts, maxLength }: CleanText,
): void {
  for (const code of rowFaults(example, facts)) codes.set(code, "");
  const tokens = sequenceLength(example);
  if (maxLength !== null && tokens > maxLength) {
    for (const code of ["too_long", "truncated"] as const)
      codes.set(code, `${tokens} tokens, max_length is ${maxLength}`);
  }
}
