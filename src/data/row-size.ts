/** How large a row is. */
import { DataError } from "../base/errors.ts";
import { describeOrigin, type RawRow } from "./example.ts";
import { mebibytes } from "./lines.ts";
import { maxRowBytes } from "./read-meter.ts";

/** Characters of all texts in `value`, and entries of all lists. */
export function sizeOf(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 0;
  if (ArrayBuffer.isView(value)) return 0;
  let size = 0;
  if (Array.isArray(value)) for (const entry of value) size += 1 + sizeOf(entry);
  else for (const key in value) size += sizeOf((value as Record<string, unknown>)[key]);
  return size;
}

/**
 * Checks a row as it was read: files without lines, as those of Parquet, bring rows of any length.
 *
 * @throws DataError when it is larger than any row that is read
 */
export function requireSize(row: RawRow): void {
  if (sizeOf(row.value) <= maxRowBytes) return;
  throw new DataError(
    `${describeOrigin(row.origin)}: expected a row of at most ${mebibytes(maxRowBytes)}, got a longer one. Cut or remove it.`,
  );
}
