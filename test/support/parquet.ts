/**
 * A writer of small Parquet files, right or lying: Thrift's compact protocol, plain encoding, one page a column. What each
 * number says can be set apart from what is there.
 */
import { gzipSync } from "node:zlib";

/** A value of Thrift. */
export type Thrift =
  | { i32: number }
  | { i64: number }
  | { text: string }
  | { bytes: number[]; type: number }
  | { list: Thrift[] }
  | { fields: [number, Thrift][] };

/** A number as Thrift writes it. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}

function typeOf(value: Thrift): number {
  if ("i32" in value) return 5;
  if ("i64" in value) return 6;
  if ("text" in value) return 8;
  if ("bytes" in value) return value.type;
  return "list" in value ? 9 : 12;
}

/** Its bytes. */
function encode(value: Thrift): number[] {
  if ("i32" in value) return varint(value.i32 * 2);
  if ("i64" in value) return varint(value.i64 * 2);
  if ("text" in value) return [...varint(value.text.length), ...Buffer.from(value.text)];
  if ("bytes" in value) return value.bytes;
  if ("list" in value) {
    const first = value.list[0];
    const type = first === undefined ? 5 : typeOf(first);
    const { length } = value.list;
    const head = length < 15 ? [(length << 4) | type] : [0xf0 | type, ...varint(length)];
    return [...head, ...value.list.flatMap(encode)];
  }
  let last = 0;
  const bytes = value.fields.flatMap(([id, field]) => {
    const head = ((id - last) << 4) | typeOf(field);
    last = id;
    return [head, ...encode(field)];
  });
  return [...bytes, 0];
}

const i32 = (value: number): Thrift => ({ i32: value });
const i64 = (value: number): Thrift => ({ i64: value });

/** Numbers of types and of repetitions. */
export const int64 = 2;
export const byteArray = 6;
export const required = 0;
export const repeated = 2;

/** A column of values. */
export interface Leaf {
  path: string[];
  type: number;
  /** One list per row where the column is a list; else one value per row. */
  rows: (string | number)[][];
  isList: boolean;
}

function plainValues(leaf: Leaf): number[] {
  return leaf.rows.flat().flatMap((value) => {
    const buffer = Buffer.alloc(typeof value === "number" ? 8 : 4);
    if (typeof value === "number") buffer.writeBigInt64LE(BigInt(value));
    else buffer.writeInt32LE(Buffer.byteLength(value));
    return typeof value === "number" ? [...buffer] : [...buffer, ...Buffer.from(value)];
  });
}

/** Levels of one bit as runs of length one, behind their length. */
function levels(bits: number[]): number[] {
  const runs = bits.flatMap((bit) => [...varint(1 << 1), bit]);
  const length = Buffer.alloc(4);
  length.writeInt32LE(runs.length);
  return [...length, ...runs];
}

/** What a file says in place of the truth. */
export interface Lies {
  isGzip?: boolean;
  /** Of every page: its sizes, its values, its content. */
  pageSize?: number;
  storedSize?: number;
  pageValues?: number;
  content?: Uint8Array;
  encoding?: number;
  /** Of every column. */
  values?: number;
  offset?: number;
  chunkBytes?: number;
  /** Of every row group, and of the file. */
  groupRows?: number;
  rows?: number;
  groupBytes?: number;
  footerLength?: number;
}

function page(leaf: Leaf, lies: Lies): { bytes: Buffer; values: number } {
  const values = leaf.rows.flat().length;
  const repetition = leaf.rows.flatMap((row) => row.map((_, i) => (i === 0 ? 0 : 1)));
  const head = leaf.isList ? [...levels(repetition), ...levels(repetition.map(() => 1))] : [];
  const content = lies.content ?? Buffer.from([...head, ...plainValues(leaf)]);
  const stored = lies.isGzip === true ? gzipSync(content) : content;
  const header = encode({
    fields: [
      [1, i32(0)],
      [2, i32(lies.pageSize ?? content.length)],
      [3, i32(lies.storedSize ?? stored.length)],
      [
        5,
        {
          fields: [
            [1, i32(lies.pageValues ?? values)],
            [2, i32(lies.encoding ?? 0)],
            [3, i32(3)],
            [4, i32(3)],
          ],
        },
      ],
    ],
  });
  return { bytes: Buffer.concat([Buffer.from(header), stored]), values };
}

/** A column or a part of one, as the schema has it. */
export function element(
  name: string,
  parts: { type?: number; repetition?: number; children?: number; converted?: number },
): Thrift {
  const fields: [number, Thrift][] = [];
  if (parts.type !== undefined) fields.push([1, i32(parts.type)]);
  if (parts.repetition !== undefined) fields.push([3, i32(parts.repetition)]);
  fields.push([4, { text: name }]);
  if (parts.children !== undefined) fields.push([5, i32(parts.children)]);
  if (parts.converted !== undefined) fields.push([6, i32(parts.converted)]);
  return { fields };
}

/** A file of row groups, each with the same columns. */
export function parquet(groups: Leaf[][], schema: Thrift[], lies: Lies = {}): Buffer {
  const chunks: Buffer[] = [Buffer.from("PAR1")];
  let offset = 4;
  const rowGroups = groups.map((leaves): Thrift => {
    const columns = leaves.map((leaf): Thrift => {
      const { bytes, values } = page(leaf, lies);
      const start = offset;
      chunks.push(bytes);
      offset += bytes.length;
      const meta: Thrift = {
        fields: [
          [1, i32(leaf.type)],
          [2, { list: [i32(0), i32(3)] }],
          [3, { list: leaf.path.map((text) => ({ text })) }],
          [4, i32(lies.isGzip === true ? 2 : 0)],
          [5, i64(lies.values ?? values)],
          [6, i64(bytes.length)],
          [7, i64(lies.chunkBytes ?? bytes.length)],
          [9, i64(lies.offset ?? start)],
        ],
      };
      return {
        fields: [
          [2, i64(start)],
          [3, meta],
        ],
      };
    });
    return {
      fields: [
        [1, { list: columns }],
        [2, i64(lies.groupBytes ?? 100)],
        [3, i64(lies.groupRows ?? leaves[0]?.rows.length ?? 0)],
      ],
    };
  });
  const rows = groups.reduce((sum, leaves) => sum + (leaves[0]?.rows.length ?? 0), 0);
  const footer = Buffer.from(
    encode({
      fields: [
        [1, i32(1)],
        [2, { list: schema }],
        [3, i64(lies.rows ?? rows)],
        [4, { list: rowGroups }],
      ],
    }),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32LE(lies.footerLength ?? footer.length);
  return Buffer.concat([...chunks, footer, length, Buffer.from("PAR1")]);
}

/** A column of values by its path. */
export function leaf(path: string, type: number, isList: boolean, rows: Leaf["rows"]): Leaf {
  return { path: path.split("."), type, isList, rows };
}
