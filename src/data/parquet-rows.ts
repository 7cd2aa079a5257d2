/** Rows of Parquet files, one row group at a time. */
import {
  type AsyncBuffer,
  asyncBufferFromFile,
  type Compressors,
  type FileMetaData,
  type ParquetParsers,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";

import { DataError, messageOf } from "../base/errors.ts";
import { JsonError, parseJson } from "../text/json.ts";
import type { DataFile } from "./data-file.ts";
import { describeOrigin, faultyRow, type Origin, type RawRow } from "./example.ts";
import { columnConverters, NotText, ValueError } from "./parquet-values.ts";

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
  const converters = await attempt(file, async () => columnConverters(parquetSchema(metadata)));
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
      yield rowOf(value, converters, { file: file.name, line: first + index + 1 });
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
  return parquetReadObjects({
    file,
    metadata,
    rowStart,
    rowEnd,
    compressors: decompressors,
    parsers: parsers as ParquetParsers,
  });
}

/** The row, or its fault: a text that is not UTF-8, JSON that cannot be read. */
function rowOf(
  values: Readonly<Record<string, unknown>>,
  converters: ReadonlyMap<string, (value: unknown) => unknown>,
  origin: Origin,
): RawRow {
  let column = "";
  try {
    const value: Record<string, unknown> = {};
    for (const [name, entry] of Object.entries(values)) {
      column = name;
      value[name] = converters.get(name)?.(entry) ?? null;
    }
    return { origin, value };
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    const where = `${describeOrigin(origin)}, column "${column}"`;
    return faultyRow(
      origin,
      new DataError(`${where}: ${error.message}. Mend or remove the row.`, { cause: error }),
    );
  }
}

/** A page without values has no bytes; the decoders stumble over what codecs write for that (LZ4's is one zero). */
const decompressors: Compressors = Object.fromEntries(
  Object.entries(compressors).map(([codec, decompress]): [string, Compressors[keyof Compressors]] => [
    codec,
    (input, outputLength) => (outputLength === 0 ? new Uint8Array(0) : decompress(input, outputLength)),
  ]),
);

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function textOf(bytes: Uint8Array): string | NotText {
  try {
    return decoder.decode(bytes);
  } catch {
    return new NotText(bytes);
  }
}

/** In place of hyparquet's, which put U+FFFD where bytes are no text. */
const parsers = {
  stringFromBytes: (bytes: Uint8Array | undefined) => bytes && textOf(bytes),
  jsonFromBytes: (bytes: Uint8Array | undefined) => bytes && jsonOf(textOf(bytes)),
};

function jsonOf(text: string | NotText): unknown {
  if (text instanceof NotText) return text;
  try {
    return parseJson(text);
  } catch (error) {
    if (error instanceof JsonError) return error;
    throw error;
  }
}

async function attempt<T>(file: DataFile, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof ValueError) {
      throw new DataError(`${file.name}: ${error.message}. Mend it and write it again.`, { cause: error });
    }
    throw new DataError(
      `${file.name}: expected a Parquet file, but it cannot be read (${messageOf(error)}). Download it again.`,
      { cause: error },
    );
  }
}
