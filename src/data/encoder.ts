/** From rows understood to examples: text is encoded, token ids are used unchanged. */
import { DataError, type FormatError } from "../base/errors.ts";
import type { RowEncoder } from "../text/encode.ts";
import { NotRenderedError } from "../text/rendering-check.ts";
import { EmptyAnswerError, type SourceRow } from "../text/source-rows.ts";
import { TemplateError } from "../text/template.ts";
import type { Example, Origin, Trace } from "./example.ts";
import type { FindingCode } from "./findings.ts";
import type { NormalRow } from "./rows.ts";

/** The part of a row encoder that data preparation uses. */
export type SourceEncoder = Pick<RowEncoder, "encode" | "fingerprint">;

/** A row that gave no example, and why. */
export interface RowProblem {
  origin: Origin;
  code: FindingCode;
  message: string;
}

/**
 * The example or the problem of each row, in order.
 *
 * @throws FormatError when the tokenizer or its chat template is at fault, not the row
 */
export async function encodeRows(
  rows: readonly NormalRow[],
  encoder: SourceEncoder,
): Promise<(Example | RowProblem)[]> {
  const sources = rows.map((row) => row.source).filter((source): source is SourceRow => source !== null);
  const outcomes = sources.length === 0 ? [] : await encoder.encode(sources);
  let next = 0;
  return rows.map((row): Example | RowProblem => {
    if (row.tokens !== null) return example(row, row.tokens, { isPretokenised: true });
    const outcome = outcomes[next++];
    if (outcome === undefined) throw new DataError("The encoder gave fewer outcomes than it got rows.");
    if ("error" in outcome) return problemOf(row.origin, outcome.error);
    const { promptIds, completions, promptAlone, boundaryMoved, notes } = outcome.row;
    const trace: Trace = {
      ...(boundaryMoved > 0 ? { boundaryMoved } : {}),
      ...(notes.length > 0 ? { notes } : {}),
    };
    const sampled =
      row.reward === undefined || promptAlone === undefined ? {} : { sampledPromptIds: promptAlone };
    return example(row, { promptIds, ...sampled, completions }, trace);
  });
}

/** What a row is as tokens. */
type Content = Pick<Example, "promptIds" | "sampledPromptIds" | "completions">;

function example(row: NormalRow, content: Content, trace: Trace): Example {
  return {
    origin: row.origin,
    ...content,
    ...(row.referenceLogps === null ? {} : { referenceLogps: row.referenceLogps }),
    ...(row.margin === undefined ? {} : { margin: row.margin }),
    ...(row.label === undefined ? {} : { label: row.label }),
    ...(row.reward === undefined ? {} : { reward: row.reward }),
    ...(Object.keys(trace).length === 0 ? {} : { trace }),
  };
}

function problemOf(origin: Origin, error: DataError | FormatError): RowProblem {
  const isRowsFault =
    error instanceof DataError || (error instanceof TemplateError && error.kind !== "invalid");
  if (!isRowsFault) throw error;
  return { origin, code: codeOf(error), message: error.message };
}

function codeOf(error: DataError | FormatError): FindingCode {
  if (error instanceof NotRenderedError) return "not_rendered";
  return error instanceof EmptyAnswerError ? "empty_answer" : "unencodable";
}
