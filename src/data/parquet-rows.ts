/** Rows of Parquet files, one row group at a time, column by column. */
import { closeSync, fstatSync } from "node:fs";
import zlib from "node:zlib";
import { type AsyncBuffer, type ParquetParsers, parquetScan, type RowGroup } from "hyparquet";
import { compressors } from "hyparquet-compressors";

import { DataError, FileError, messageOf } from "../base/errors.ts";
import { openFile } from "../base/open-file.ts";
import { JsonError, parseJson } from "../text/json.ts";
import { type DataFile, readAt, requireSameSize, unreadable } from "./data-file.ts";
import { describeOrigin, faultyRow, type Origin, type RawRow } from "./example.ts";
import { chunkOf, decoderName, type Footer, type ReadSlice, readFooter } from "./parquet-footer.ts";
import { checkPages, type Decompress } from "./parquet-pages.ts";
import { columnConverters, hasField, NotText, textOf, ValueError } from "./parquet-values.ts";

/**
 * The rows of a Parquet file, numbered from 1.
 *
 * @throws DataError when it is not a readable Parquet file; FileError when it cannot be read at all
 */
export async function* readParquet(file: DataFile): AsyncGenerator<RawRow> {
  const fd = openData(file);
  try {
    const { size } = fstatSync(fd);
    const slice = sliceReader(fd, file, size);
    const footer = await attempt(file, () => readFooter(size, slice));
    const converters = await attempt(file, async () => columnConverters(footer.schema));
    const isField = (path: string): boolean => hasField(footer.schema, path);
    let first = 1;
    for (const group of footer.metadata.row_groups) {
      const rows = Number(group.num_rows);
      const columns = await attempt(file, () => readGroup({ ...footer, size, slice }, group));
      for (let i = 0; i < rows; i++) {
        const row = rowOf(columns, i, converters, { file: file.name, line: first + i });
        yield Object.assign(row, { isField });
      }
      first += rows;
    }
    requireSameSize(file, size, fstatSync(fd).size);
  } finally {
    closeSync(fd);
  }
}

function openData(file: DataFile): number {
  try {
    return openFile(file.path);
  } catch (error) {
    throw error instanceof FileError ? error : unreadable(file, error);
  }
}

function sliceReader(fd: number, { meter }: DataFile, size: number): ReadSlice {
  return async (start, end) => {
    if (!(start >= 0 && start <= end && end <= size)) throw new Error("a part of it lies outside of it");
    const bytes = new Uint8Array(end - start);
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await readAt(fd, bytes, done, bytes.length - done, start + done);
      if (bytesRead === 0) throw new Error("it ends too early");
      done += bytesRead;
    }
    meter?.add(bytes.length);
    return bytes.buffer;
  };
}

interface OpenFile extends Footer {
  size: number;
  slice: ReadSlice;
}

/** The values of a row group's columns, by name. */
async function readGroup(file: OpenFile, group: RowGroup): Promise<Map<string, ArrayLike<unknown>>> {
  const columns = new Map<string, ArrayLike<unknown>>();
  const rows = Number(group.num_rows);
  if (rows === 0) return columns;
  for (const { element } of file.schema.children) {
    const values = await readColumn(file, group, decoderName(element.name));
    if (values.length !== rows) throw new Error("a column has another number of rows than its row group");
    columns.set(element.name, values);
  }
  return columns;
}

/** One column, whose pages are checked before hyparquet decodes them. @param name - as hyparquet is given it */
async function readColumn(file: OpenFile, group: RowGroup, name: string): Promise<ArrayLike<unknown>> {
  const rows = Number(group.num_rows);
  const slices = new Map<string, ArrayBuffer>();
  const decompressors: Record<string, Decompress> = {};
  const columns = [...group.columns];
  for (const [i, leaf] of file.leaves.entries()) {
    const column = columns[i];
    if (leaf.path[0] !== name || column?.meta_data === undefined) continue;
    const { start, end, values, codec } = chunkOf(group, i, leaf);
    const bytes = await file.slice(start, end);
    slices.set(`${start}-${end}`, bytes);
    const chunk = { bytes: new Uint8Array(bytes), values, rows };
    const decompress = codec === "UNCOMPRESSED" ? null : decompressorOf(codec);
    const pages = checkPages(chunk, leaf, decompress);
    if (decompress === null) continue;
    // What was decompressed to be checked is handed over as a codec of the column's own.
    const own = `column ${i}`;
    let next = 0;
    decompressors[own] = (_, length) =>
      length === 0 ? new Uint8Array(0) : (pages[next++] ?? new Uint8Array(0));
    columns[i] = { ...column, meta_data: { ...column.meta_data, codec: own as "SNAPPY" } };
  }
  const buffer: AsyncBuffer = {
    byteLength: file.size,
    slice: (start, end = file.size) => slices.get(`${start}-${end}`) ?? file.slice(start, end),
  };
  const scan = await parquetScan({
    file: buffer,
    metadata: { ...file.metadata, num_rows: group.num_rows, row_groups: [{ ...group, columns }] },
    columns: [name],
    compressors: decompressors,
    parsers: parsers as ParquetParsers,
    // bytes that the schema does not call text stay bytes
    utf8: false,
    useOffsetIndex: false,
  });
  return scan.readColumn({ column: name, rowStart: 0, rowEnd: rows });
}

/** Codecs that Node knows are its own, which write no more than they are asked for. */
function decompressorOf(codec: string): Decompress {
  const most = (length: number) => ({ maxOutputLength: length });
  if (codec === "GZIP") return (input, length) => zlib.gunzipSync(input, most(length));
  if (codec === "BROTLI") return (input, length) => zlib.brotliDecompressSync(input, most(length));
  if (codec === "ZSTD") return (input, length) => zlib.zstdDecompressSync(input, most(length));
  const known = compressors[codec as keyof typeof compressors];
  if (known === undefined) throw new Error(`it is compressed by ${codec}, which is not read`);
  return known;
}

/** The row, or its fault: a text that is not UTF-8, JSON that cannot be read. */
function rowOf(
  columns: ReadonlyMap<string, ArrayLike<unknown>>,
  index: number,
  converters: ReadonlyMap<string, (value: unknown) => unknown>,
  origin: Origin,
): RawRow {
  let column = "";
  try {
    const value: Record<string, unknown> = {};
    for (const [name, values] of columns) {
      column = name;
      value[name] = converters.get(name)?.(values[index]) ?? null;
    }
    return { origin, value };
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    const where = `${describeOrigin(origin)}, column "${column}"`;
    return faultyRow(
      origin,
      new DataError(`${where}: ${error.message}. Fix or remove the row.`, { cause: error }),
    );
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

/** Reads, and says what cannot be read: hyparquet throws errors of many kinds. */
async function attempt<T>(file: DataFile, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof FileError) throw error;
    if (error instanceof ValueError) {
      throw new DataError(`${file.name}: ${error.message}. Fix it and write it again.`, { cause: error });
    }
    // A decoder's own error about damaged bytes is replaced by a readable one.
    const isStumble = error instanceof TypeError || error instanceof RangeError;
    const reason = isStumble ? "its parts do not fit together" : messageOf(error);
    throw new DataError(
      `${file.name}: expected a Parquet file, but it cannot be read (${reason}). Download it again.`,
      { cause: error },
    );
  }
}
