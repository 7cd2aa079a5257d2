/** The rows the benchmark trains on: generated pairs of token ids, or those of a JSONL file. */
import { readFileSync } from "node:fs";
import { DataError } from "../../src/base/errors.ts";
import { permutation, Random } from "../../src/base/random.ts";

/** A row as both sides read it. */
export interface WorkloadRow {
  prompt_ids: number[];
  chosen_ids: number[];
  rejected_ids: number[];
}

const rowCount = 64;
// both models' vocabularies hold these; 0 to 2 are special
const firstId = 3;
const idBound = 32_000;

/** Lengths between `least` and `most` with this mean, more short ones than long ones, shuffled. */
function lengths(least: number, most: number, mean: number, seed: number): number[] {
  const power = (most - least) / (mean - least) - 1;
  const quantile = (i: number) => Math.round(least + (most - least) * (i / (rowCount - 1)) ** power);
  return Array.from(permutation(rowCount, seed), quantile);
}

/** 64 pairs whose lengths are spread like those of short conversations; the same for the same seed. */
export function generatedRows(seed: number): WorkloadRow[] {
  const prompts = lengths(131, 507, 251, seed);
  const chosen = lengths(79, 384, 196, seed + 1);
  const rejected = lengths(112, 301, 187, seed + 2);
  const random = new Random(seed);
  const ids = (n = 0) => Array.from({ length: n }, () => firstId + random.below(idBound - firstId));
  return prompts.map((length, i) => ({
    prompt_ids: ids(length),
    chosen_ids: ids(chosen[i]),
    rejected_ids: ids(rejected[i]),
  }));
}

/**
 * The rows of a JSONL file.
 *
 * @throws {DataError} if a line lacks one of the three lists of ids
 */
export function readRows(file: string): WorkloadRow[] {
  const lines = readFileSync(file, "utf8").trim().split("\n");
  return lines.map((text, i) => {
    const row: Partial<WorkloadRow> = JSON.parse(text);
    const { prompt_ids, chosen_ids, rejected_ids } = row;
    if (![prompt_ids, chosen_ids, rejected_ids].every((ids) => Array.isArray(ids) && ids.length > 0)) {
      throw new DataError(
        `${file}:${i + 1}: expected lists prompt_ids, chosen_ids and rejected_ids that are not empty, got keys ` +
          `${Object.keys(row).join(", ")}. Write the rows as token ids`,
      );
    }
    return row as WorkloadRow;
  });
}
