/** Disjoint training sets: each has the rows of every n-th prompt. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, DataError } from "preftune";
import { normaliseRow, readRows } from "preftune/data";
import { type ConfigValues, makeDirectory, stringifyNumbers, writeFileAtomic } from "preftune/sweep";

type RawRow = Parameters<typeof normaliseRow>[0];
type ColumnMap = NonNullable<Parameters<typeof normaliseRow>[1]["columns"]>;

/**
 * Writes the rows of `values.train_data` into `count` files of the study's folder, rows of one prompt into one; those that are there
 * must have them.
 *
 * @param columns - what the columns of the rows are called, as `columns` of a configuration
 * @returns the file of each set, in order
 * @throws {ConfigError} if the values name no file of rows, one with fewer prompts than sets, or other rows than the folder's
 * @throws {DataError} if no row can be read, with what is wrong with the first
 */
export async function trainingSets(
  dir: string,
  values: ConfigValues,
  count: number,
  columns: ColumnMap = {},
): Promise<readonly string[]> {
  const { train_data: path } = values;
  if (typeof path !== "string") {
    throw new ConfigError(
      "the study divides the training rows into disjoint sets: name their file with --data.",
    );
  }
  const files = Array.from({ length: count }, (_, i) => join(dir, "setup", `set-${i + 1}-of-${count}.jsonl`));
  const sets: string[][] = files.map(() => []);
  const numbers = new Map<string, number>();
  let refused: DataError | null = null;
  let isReadable = false;
  for await (const row of readRows({ path })) {
    const read = promptOf(row, columns);
    if (read instanceof DataError) refused ??= read;
    else isReadable = true;
    // training reports a row that cannot be read: here it counts as a prompt like no other
    const prompt = read instanceof DataError ? `${row.origin.file}:${row.origin.line}` : read;
    const number = numbers.get(prompt) ?? numbers.size;
    numbers.set(prompt, number);
    sets[number % count]?.push(stringifyNumbers(row.value));
  }
  // with a wrong mapping of columns, for one: what is divided would be rows
  if (refused !== null && !isReadable) throw refused;
  if (numbers.size < count) {
    throw new ConfigError(
      `${path}: expected rows of at least ${count} prompts, one for each training set, got ${numbers.size}. Give more rows, or fewer sets with --seeds.`,
    );
  }
  makeDirectory(join(dir, "setup"));
  for (const [i, file] of files.entries()) {
    const text = `${sets[i]?.join("\n")}\n`;
    if (!existsSync(file)) writeFileAtomic(file, text);
    else if (readFileSync(file, "utf8") !== text) {
      throw new ConfigError(
        `${file}: expected rows of ${path}, got others: the study in this folder began with them, or with an earlier version, which divided rows of one prompt. Give the rows that it began with, or another --output.`,
      );
    }
  }
  return files;
}

/** Identity of the prompt of a row; why the row cannot be read, where it cannot. */
function promptOf(row: RawRow, columns: ColumnMap): string | DataError {
  try {
    const { source, tokens } = normaliseRow(row, { task: "preference", columns });
    if (tokens !== null) return stringifyNumbers(tokens.promptIds);
    if (source?.kind === "chat")
      return stringifyNumbers([source.prompt, source.tools ?? null, source.variables ?? null]);
    return stringifyNumbers(source?.kind === "text" ? source.prompt : source);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return error;
  }
}
