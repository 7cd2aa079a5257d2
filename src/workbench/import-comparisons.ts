/** Labelled data of several forms, read into comparisons; what is no comparison is counted with its reason. */
import { ConfigError, DataError } from "../base/errors.ts";
import { type ColumnMap, checkColumnMap, RowColumns } from "../data/columns.ts";
import type { RawRow } from "../data/example.ts";
import { describeOrigin } from "../data/example.ts";
import { readRows } from "../data/sources.ts";
import { templateInputs } from "../data/template-columns.ts";
import { type Comparison, dividedExtra } from "./comparison.ts";
import { argilla } from "./forms/argilla.ts";
import { battles } from "./forms/battles.ts";
import { type Form, type FormName, NoComparison } from "./forms/form.ts";
import { labelStudio } from "./forms/label-studio.ts";
import { openWebui } from "./forms/open-webui.ts";
import { pairs } from "./forms/pairs.ts";
import { table } from "./forms/table.ts";
import { pastedRows } from "./pasted-rows.ts";

/** The forms, in the order in which a row is tried: the more particular before the more general. */
export const forms: readonly Form[] = [labelStudio, argilla, openWebui, battles, pairs, table];

/** What was read. */
export interface Imported {
  comparisons: Comparison[];
  /** Rows read. */
  rows: number;
  /** Comparisons by their form. */
  forms: Partial<Record<FormName, number>>;
  /** Rows that are no comparison, by reason. */
  left: Record<string, number>;
}

/** How rows are read. */
export interface ImportOptions {
  /** The form of all rows; default: each row's own, as its columns tell. */
  form?: FormName;
  /** The file's names of columns, all of whose rows are then pairs. */
  columns?: ColumnMap;
}

/**
 * The comparisons in a file, directory, glob or hub data set.
 *
 * @throws {DataError} naming file and line where a row is faulty or has none of the forms
 * @throws {ConfigError} for columns that there are not, or of another form than pairs
 */
export async function importFiles(path: string, options: ImportOptions = {}): Promise<Imported> {
  return importRows(readRows({ path }), options);
}

/**
 * The comparisons in a table copied from a spreadsheet or a page, divided by tabs, commas, semicolons or bars.
 *
 * @throws {DataError} naming the line
 */
export async function importPasted(text: string, options: ImportOptions = {}): Promise<Imported> {
  return importRows(pastedRows(text), options);
}

async function importRows(
  rows: AsyncIterable<RawRow> | Iterable<RawRow>,
  options: ImportOptions,
): Promise<Imported> {
  refuseColumns(options);
  const result: Imported = { comparisons: [], rows: 0, forms: {}, left: {} };
  for await (const row of rows) {
    result.rows++;
    const form = formOf(row, options);
    try {
      result.comparisons.push(withInputs(form.read(row, options.columns), row));
      result.forms[form.name] = (result.forms[form.name] ?? 0) + 1;
    } catch (error) {
      if (!(error instanceof NoComparison)) throw error;
      result.left[error.reason] = (result.left[error.reason] ?? 0) + 1;
    }
  }
  return result;
}

/** The comparison whose tools and variables of the template are read as training reads them: where they are text, too. */
function withInputs(comparison: Comparison, row: RawRow): Comparison {
  if (typeof comparison.prompt === "string") return comparison;
  const { inputs, others } = dividedExtra(comparison.extra);
  if (Object.keys(inputs).length === 0) return { ...comparison, extra: others };
  const { tools, variables } = templateInputs(new RowColumns({ ...row, value: inputs }, {}));
  const read = { tools, chat_template_kwargs: variables };
  return { ...comparison, extra: { ...others, ...dividedExtra(read).inputs } };
}

function refuseColumns({ form = "pairs", columns }: ImportOptions): void {
  if (columns === undefined) return;
  checkColumnMap(columns);
  if (form === "pairs") return;
  throw new ConfigError(
    `columns: expected rows of the form pairs, whose columns it names, got ${form}. Leave it out, and rename the columns of the file.`,
  );
}

function formOf(row: RawRow, { form, columns }: ImportOptions): Form {
  const named = form ?? (columns === undefined ? undefined : "pairs");
  const found = forms.find((one) => (named === undefined ? one.fits(row.value) : one.name === named));
  if (found !== undefined) return found;
  const known = forms.map(({ name, words }) => `\n  ${name}: ${words}`).join("");
  throw new DataError(
    `${describeOrigin(row.origin)}: expected a row of one of these forms, got the columns ` +
      `${Object.keys(row.value).join(", ") || "none"}:${known}\n` +
      `If they are a pair by other names, "columns" says which, as in columns: {prompt: question, chosen: best, rejected: worst}.`,
    { proposesColumns: true },
  );
}

/** The form of a name. @throws {DataError} where there is none */
export function formNamed(name: string): Form {
  const found = forms.find((form) => form.name === name);
  if (found !== undefined) return found;
  throw new DataError(`expected one of the forms ${forms.map((form) => form.name).join(", ")}, got ${name}.`);
}
