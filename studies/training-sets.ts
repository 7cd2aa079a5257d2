/** Disjoint training sets: each has every n-th of the training rows. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "preftune";
import { readRows } from "preftune/data";
import { type ConfigValues, makeDirectory, stringifyNumbers, writeFileAtomic } from "preftune/sweep";

/**
 * Writes the rows of `values.train_data` into `count` files of the study's folder; those that are there must have them.
 *
 * @returns the file of each set, in order
 * @throws {ConfigError} if the values name no file of rows, one with fewer rows than sets, or other rows than the folder's
 */
export async function trainingSets(
  dir: string,
  values: ConfigValues,
  count: number,
): Promise<readonly string[]> {
  const { train_data: path } = values;
  if (typeof path !== "string") {
    throw new ConfigError(
      "the study divides the training rows into disjoint sets: name their file with --data.",
    );
  }
  const files = Array.from({ length: count }, (_, i) => join(dir, "setup", `set-${i + 1}-of-${count}.jsonl`));
  const sets: string[][] = files.map(() => []);
  let rows = 0;
  for await (const { value } of readRows({ path })) sets[rows++ % count]?.push(stringifyNumbers(value));
  if (rows < count) {
    throw new ConfigError(
      `${path}: expected at least ${count} rows, one for each training set, got ${rows}. Give more rows, or fewer sets with --seeds.`,
    );
  }
  makeDirectory(join(dir, "setup"));
  for (const [i, file] of files.entries()) {
    const text = `${sets[i]?.join("\n")}\n`;
    if (!existsSync(file)) writeFileAtomic(file, text);
    else if (readFileSync(file, "utf8") !== text) {
      throw new ConfigError(
        `${file}: expected rows of ${path}, got others: the study in this folder began with them. Give the rows that it began with, or another --output.`,
      );
    }
  }
  return files;
}
