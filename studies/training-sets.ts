/** Disjoint training sets: each has every n-th of the training rows. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "preftune";
import { readRows } from "preftune/data";
import { type ConfigValues, makeDirectory, stringifyNumbers, writeFileAtomic } from "preftune/sweep";

/**
 * Writes the rows of `values.train_data` into `count` files of the study's folder, unless they are there.
 *
 * @returns the file of each set, in order
 * @throws {ConfigError} if the values name no file of rows, or one with fewer rows than sets
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
  if (files.every((file) => existsSync(file))) return files;
  const sets: string[][] = files.map(() => []);
  let rows = 0;
  for await (const { value } of readRows({ path })) sets[rows++ % count]?.push(stringifyNumbers(value));
  if (rows < count) {
    throw new ConfigError(
      `${path}: expected at least ${count} rows, one for each training set, got ${rows}. Give more rows, or fewer sets with --seeds.`,
    );
  }
  makeDirectory(join(dir, "setup"));
  for (const [i, file] of files.entries()) writeFileAtomic(file, `${sets[i]?.join("\n")}\n`);
  return files;
}
