/** The footer of a Parquet file, read with limits and compared with the file before anything is taken from where it points. */
import { isDeepStrictEqual } from "node:util";
import { type FileMetaData, parquetMetadata, parquetSchema, type RowGroup, type SchemaTree } from "hyparquet";

import type { Leaf } from "./parquet-pages.ts";
import { readStruct } from "./parquet-thrift.ts";
import { maxColumns } from "./read-meter.ts";

/** A footer that cannot be. `message` continues a sentence about the file. */
class FooterError extends Error {}

/** Largest footer, in bytes, and most values in it: each takes many times its bytes in memory. */
const maxFooterBytes = 16 * 1024 * 1024;
const maxFooterValues = 1_000_000;

/** Deepest schema. */
const maxSchemaDepth = 32;

/** Cells that a row group may always have, and how many for each of its bytes besides: columns of nulls take next to none. */
const freeCells = 4 * 1024 * 1024;
const cellsPerByte = 8;

/** What a file holds, as far as its footer is right about it. */
export interface Footer {
  /** With what hyparquet reads ({@link forDecoder}). */
  metadata: FileMetaData;
  /** As the file has it. */
  schema: SchemaTree;
  /** Columns of single values, in the order of the chunks of every row group, with the names of `metadata`. */
  leaves: Leaf[];
}

/** Reads bytes of a file. */
export type ReadSlice = (start: number, end: number) => Promise<ArrayBuffer>;

/**
 * The footer of a file of `size` bytes.
 *
 * @throws FooterError, ThriftError when it is none, is too large, or does not fit the file
 */
export async function readFooter(size: number, slice: ReadSlice): Promise<Footer> {
  if (size < 12) throw new FooterError("it is too short");
  const end = new DataView(await slice(size - 8, size));
  if (end.getUint32(4, true) !== 0x31524150)
    throw new FooterError("it does not end as one; is it cut short?");
  const length = end.getUint32(0, true);
  if (length > size - 12) throw new FooterError("its footer is larger than the file");
  if (length > maxFooterBytes) throw new FooterError("its footer is larger than 16 MiB");
  const bytes = await slice(size - 8 - length, size);
  readStruct(new Uint8Array(bytes), 0, maxFooterValues);
  const metadata = parquetMetadata(bytes, { geoparquet: false });
  checkSchema(metadata.schema);
  const schema = parquetSchema(metadata);
  if (schema.children.length > maxColumns) {
    throw new FooterError(`it has ${schema.children.length} columns, and at most ${maxColumns} are read`);
  }
  checkGroups(metadata, leavesOf(schema), size - 8 - length);
  return { schema, ...forDecoder(metadata, schema) };
}

/**
 * The name that hyparquet is given of a column or field: it joins names with dots between, so that fields `a.b` and `a` with `b` inside
 * would be one.
 */
export function decoderName(name: string): string {
  return name.replaceAll("%", "%25").replaceAll(".", "%2E");
}

/**
 * `metadata` with such names; with maps as lists of entries, since hyparquet's objects keep one of two equal keys; and with decimals as
 * their digits, which its floats do not keep; and with intervals and BSON, which it does not read, as their bytes.
 */
function forDecoder(metadata: FileMetaData, schema: SchemaTree): Pick<Footer, "metadata" | "leaves"> {
  const elements = schema.children.flatMap(decoderElements);
  const decoded = { ...metadata, schema: [schema.element, ...elements] };
  const leaves = leavesOf(parquetSchema(decoded));
  const groups = metadata.row_groups.map((group) => ({
    ...group,
    columns: group.columns.map((column, i) => withPath(column, leaves[i]?.path ?? [])),
  }));
  return { metadata: { ...decoded, row_groups: groups }, leaves };
}

function decoderElements(node: SchemaTree): SchemaTree["element"][] {
  const { logical_type: logical, converted_type: converted, ...rest } = node.element;
  const element = { ...node.element, name: decoderName(node.element.name) };
  // its fields are found by their names
  if (logical?.type === "VARIANT") return [element, ...node.children.flatMap(elementsOf)];
  const isPlain = /^(MAP.*|DECIMAL|INTERVAL|BSON)$/.test(converted ?? "");
  return [isPlain ? { ...rest, name: element.name } : element, ...node.children.flatMap(decoderElements)];
}

function elementsOf({ element, children }: SchemaTree): SchemaTree["element"][] {
  return [element, ...children.flatMap(elementsOf)];
}

function withPath(column: RowGroup["columns"][number], path: readonly string[]): RowGroup["columns"][number] {
  const { meta_data: meta } = column;
  return meta === undefined ? column : { ...column, meta_data: { ...meta, path_in_schema: [...path] } };
}

/** The list of elements must make one tree, which hyparquet builds by recursion. */
function checkSchema(elements: FileMetaData["schema"]): void {
  /** Children still to come, of each element that is open. */
  const open: number[] = [1];
  for (const [index, element] of elements.entries()) {
    while (open.at(-1) === 0) open.pop();
    const left = open.pop();
    if (left === undefined) throw new FooterError("its schema has parts that belong to no column");
    const children = element.num_children ?? 0;
    checkElement(element, index === 0, elements.length);
    open.push(left - 1, children);
    if (open.length > maxSchemaDepth) throw new FooterError("its schema is nested too deep");
  }
  if (elements.length === 0 || open.some((left) => left > 0))
    throw new FooterError("its schema is incomplete");
}

function checkElement(element: FileMetaData["schema"][number], isRoot: boolean, most: number): void {
  const { name, num_children: children = 0, type, repetition_type: repetition } = element;
  if (typeof name !== "string" || name === "__proto__")
    throw new FooterError("its schema has a column without a name");
  const isCount = Number.isInteger(children) && children >= 0 && children <= most;
  const hasKind = isRoot || (repetition !== undefined && (children === 0) === (type !== undefined));
  if (!isCount || !hasKind) throw new FooterError(`its schema has the column "${name}" without a kind`);
}

function leavesOf(schema: SchemaTree): Leaf[] {
  const walk = ({ element, children, path }: SchemaTree, definition: number, repetition: number): Leaf[] => {
    const isRoot = path.length === 0;
    const maxDefinition = definition + Number(!isRoot && element.repetition_type !== "REQUIRED");
    const maxRepetition = repetition + Number(!isRoot && element.repetition_type === "REPEATED");
    if (children.length > 0) return children.flatMap((child) => walk(child, maxDefinition, maxRepetition));
    const { type = "", type_length: typeLength = 0 } = element;
    if (type === "FIXED_LEN_BYTE_ARRAY" && !(typeLength > 0 && typeLength <= 1024 * 1024)) {
      throw new FooterError("its schema has values of a length that cannot be");
    }
    return [{ path, type, typeLength, maxDefinition, maxRepetition }];
  };
  return schema.children.flatMap((child) => walk(child, 0, 0));
}

/** @param end - where the footer begins */
function checkGroups(
  { row_groups: groups, num_rows: rows }: FileMetaData,
  leaves: Leaf[],
  end: number,
): void {
  let [counted, stored] = [0, 0];
  for (const group of groups) {
    stored += checkGroup(group, leaves, end);
    counted += wholeNumber(group.num_rows);
  }
  if (counted !== wholeNumber(rows))
    throw new FooterError("its row groups have another number of rows than it");
  if (stored > end) throw new FooterError("its columns take more bytes than it has");
}

/** The bytes that the group's columns take. */
function checkGroup(group: RowGroup, leaves: Leaf[], end: number): number {
  const rows = wholeNumber(group.num_rows);
  if (group.columns.length !== leaves.length) throw new FooterError("a row group lacks columns");
  let [bytes, cells] = [0, rows * leaves.length];
  for (const [i, leaf] of leaves.entries()) {
    const { start, end: last, values } = chunkOf(group, i, leaf);
    // of a table without rows pyarrow writes columns that lie nowhere
    const isNothing = start === last && values === 0;
    if (!isNothing && (start < 4 || last > end)) throw new FooterError("a column lies outside of it");
    if (leaf.maxRepetition === 0 && values !== rows) {
      throw new FooterError("a column has another number of values than rows");
    }
    bytes += last - start;
    cells += values;
  }
  if (cells <= freeCells + cellsPerByte * bytes) return bytes;
  throw new FooterError(
    `a row group claims ${cells} values in ${bytes} bytes; write it again with smaller row groups`,
  );
}

/** Where the chunk of a column lies, and how many values it has. */
export function chunkOf(
  group: RowGroup,
  index: number,
  leaf: Leaf,
): { start: number; end: number; values: number; codec: string } {
  const { meta_data: meta, file_path: elsewhere } = group.columns[index] ?? {};
  if (meta === undefined || elsewhere !== undefined) throw new FooterError("a column of it is not in it");
  if (!isDeepStrictEqual(meta.path_in_schema, leaf.path) || meta.type !== leaf.type) {
    throw new FooterError("a column is another than that of its schema");
  }
  const from = wholeNumber(meta.dictionary_page_offset || meta.data_page_offset);
  const end = from + wholeNumber(meta.total_compressed_size);
  if (meta.codec === undefined) throw new FooterError("a column is compressed in an unknown way");
  return { start: from, end, values: wholeNumber(meta.num_values), codec: meta.codec };
}

function wholeNumber(value: unknown): number {
  if (typeof value === "bigint" && value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER))
    return Number(value);
  throw new FooterError("its footer has a count or place that cannot be");
}
