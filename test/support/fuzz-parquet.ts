/** Parquet for fuzzing, from files of pyarrow and polars with every encoding and codec that is read. */
import type { RawRow } from "../../src/data/example.ts";
import { type FuzzTarget, valuesOf } from "./fuzz-data.ts";
import { golden } from "./goldens.ts";

const { files } = golden<{ files: { name: string; file: string }[] }>("parquet");
const seeds = files
  .map(({ file }) => Buffer.from(file, "base64"))
  .filter((file) => file.subarray(0, 4).toString() === "PAR1");
// numbers without an end, long lists, lengths, runs, and headers that claim a lot
const pieces = [
  "ffffffff0f",
  "ffffffffffffffffff01",
  "f9ffffffff07",
  "feffffff0f",
  "15feffffff0f",
  "80808080",
  "00000080",
  "ffffff7f",
  "00",
  "15001500150c",
  "1c",
  "19fc",
].map((hex) => Buffer.from(hex, "hex"));

function holes(rows: readonly RawRow[]): string | null {
  const columns = new Set(
    valuesOf(rows)
      .filter((value) => value !== null)
      .map((value) => Object.keys(value).join("\n")),
  );
  if (columns.size > 1) return "rows with different columns";
  const isWhole = valuesOf(rows).every((value) =>
    Object.values(value ?? {}).every((cell) => cell !== undefined),
  );
  return isWhole ? null : "a cell without a value";
}

/** Parquet files. */
export const parquetFiles: FuzzTarget = { name: "Parquet", ending: "parquet", seeds, pieces, untrue: holes };
