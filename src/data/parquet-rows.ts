/** Rows of Parquet files, one row group at a time. */
import {
  type AsyncBuffer,
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";

import { DataError, messageOf } from "../base/errors.ts";
import type { DataFile } from "./data-file.ts";
import type { RawRow } from "./example.ts";

/** Largest row group accepted, in decompressed bytes: it is held in memory, and a small file may claim any size. */
const maxGroupBytes = 4 * 1024 ** 3;

/**
 * The rows of a Parquet file, numbered from 1.
 *
 * @throws DataError when it is not a readable Parquet file
 */
export async function* readParquet(file: DataFile): AsyncGenerator<RawRow> {
  const buffer = await attempt(file, () => asyncBufferFromFile(file.path));
  const metadata = await attempt(file, () => parquetMetadataAsync(buffer));
  let first = 0;
  for (const group of metadata.row_groups) {
    const rows = Number(group.num_rows);
    if (group.total_byte_size > maxGroupBytes) {
      throw new DataError(
        `${file.name}: expected row groups of at most 4 GiB. Write it again with smaller ones.`,
      );
    }
    const values = await attempt(file, () => readGroup(buffer, metadata, first, first + rows));
    for (const [index, value] of values.entries()) {
      yield { origin: { file: file.name, line: first + index + 1 }, value: plain(value) };
    }
    first += rows;
  }
}

function readGroup(
  file: AsyncBuffer,
  metadata: FileMetaData,
  rowStart: number,
  rowEnd: number,
): Promise<Record<string, unknown>[]> {
  return parquetReadObjects({ file, metadata, rowStart, rowEnd, compressors });
}

async function attempt<T>(file: DataFile, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new DataError(
      `${file.name}: expected a Parquet file, but it cannot be read (${messageOf(error)}). Download it again.`,
      { cause: error },
    );
  }
}

/** Parquet's 64-bit integers and typed arrays as plain numbers and lists, as JSON would give them. */
function plain(row: Record<string, unknown>): Record<string, unknown> {
  return plainValue(row) as Record<string, unknown>;
}

function plainValue(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  if (Array.isArray(value)) return value.map(plainValue);
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as Iterable<unknown>, plainValue);
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, plainValue(entry)]));
}
