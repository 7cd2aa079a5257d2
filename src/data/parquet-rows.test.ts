import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";

import { golden } from "../../test/support/goldens.ts";
import { DataError } from "../base/errors.ts";
import { parseJson } from "../text/json.ts";
import type { RawRow } from "./example.ts";
import { readRows } from "./sources.ts";

const folder = mkdtempSync(join(tmpdir(), "preftune-parquet-"));
after(() => rmSync(folder, { recursive: true }));

async function read(name: string, bytes: Uint8Array): Promise<RawRow[]> {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  const rows: RawRow[] = [];
  for await (const row of readRows({ path })) rows.push(row);
  return rows;
}

// A writer of small Parquet files: Thrift's compact protocol, plain encoding, one page per column.

type Thrift =
  | { i32: number }
  | { i64: number }
  | { text: string }
  | { list: Thrift[] }
  | { fields: [number, Thrift][] };

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
  return "list" in value ? 9 : 12;
}

function encode(value: Thrift): number[] {
  if ("i32" in value) return varint(value.i32 * 2);
  if ("i64" in value) return varint(value.i64 * 2);
  if ("text" in value) return [...varint(value.text.length), ...Buffer.from(value.text)];
  if ("list" in value) {
    const first = value.list[0];
    const type = first === undefined ? 5 : typeOf(first);
    return [(value.list.length << 4) | type, ...value.list.flatMap(encode)];
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

const [int64, byteArray] = [2, 6];
const [required, repeated] = [0, 2];

interface Leaf {
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

function page(leaf: Leaf, isGzip: boolean): { bytes: Buffer; values: number } {
  const values = leaf.rows.flat().length;
  const repetition = leaf.rows.flatMap((row) => row.map((_, i) => (i === 0 ? 0 : 1)));
  const head = leaf.isList ? [...levels(repetition), ...levels(repetition.map(() => 1))] : [];
  const content = Buffer.from([...head, ...plainValues(leaf)]);
  const stored = isGzip ? gzipSync(content) : content;
  const header = encode({
    fields: [
      [1, i32(0)],
      [2, i32(content.length)],
      [3, i32(stored.length)],
      [
        5,
        {
          fields: [
            [1, i32(values)],
            [2, i32(0)],
            [3, i32(3)],
            [4, i32(3)],
          ],
        },
      ],
    ],
  });
  return { bytes: Buffer.concat([Buffer.from(header), stored]), values };
}

function element(
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

function parquet(groups: Leaf[][], schema: Thrift[], isGzip: boolean, groupBytes: number = 100): Buffer {
  const chunks: Buffer[] = [Buffer.from("PAR1")];
  let offset = 4;
  const rowGroups = groups.map((leaves): Thrift => {
    const columns = leaves.map((leaf): Thrift => {
      const { bytes, values } = page(leaf, isGzip);
      const start = offset;
      chunks.push(bytes);
      offset += bytes.length;
      const meta: Thrift = {
        fields: [
          [1, i32(leaf.type)],
          [2, { list: [i32(0), i32(3)] }],
          [3, { list: leaf.path.map((text) => ({ text })) }],
          [4, i32(isGzip ? 2 : 0)],
          [5, i64(values)],
          [6, i64(bytes.length)],
          [7, i64(bytes.length)],
          [9, i64(start)],
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
        [2, i64(groupBytes)],
        [3, i64(leaves[0]?.rows.length ?? 0)],
      ],
    };
  });
  const rows = groups.reduce((sum, leaves) => sum + (leaves[0]?.rows.length ?? 0), 0);
  const footer = Buffer.from(
    encode({
      fields: [
        [1, i32(1)],
        [2, { list: schema }],
        [3, i64(rows)],
        [4, { list: rowGroups }],
      ],
    }),
  );
  const length = Buffer.alloc(4);
  length.writeInt32LE(footer.length);
  return Buffer.concat([...chunks, footer, length, Buffer.from("PAR1")]);
}

const schema = [
  element("schema", { children: 3 }),
  element("prompt", { type: byteArray, repetition: required, converted: 0 }),
  element("ids", { repetition: required, children: 1, converted: 3 }),
  element("list", { repetition: repeated, children: 1 }),
  element("element", { type: int64, repetition: required }),
  element("chosen", { repetition: required, children: 1, converted: 3 }),
  element("list", { repetition: repeated, children: 1 }),
  element("element", { repetition: required, children: 2 }),
  element("role", { type: byteArray, repetition: required, converted: 0 }),
  element("content", { type: byteArray, repetition: required, converted: 0 }),
];

const leaf = (path: string, type: number, isList: boolean, rows: Leaf["rows"]): Leaf => ({
  path: path.split("."),
  type,
  isList,
  rows,
});

const groups = [
  [
    leaf("prompt", byteArray, false, [["one"], ["zwei ü"]]),
    leaf("ids.list.element", int64, true, [[1, 2, 3], [151_643]]),
    leaf("chosen.list.element.role", byteArray, true, [["user", "assistant"], ["assistant"]]),
    leaf("chosen.list.element.content", byteArray, true, [["Hi", "Hello"], ["Yes"]]),
  ],
  [
    leaf("prompt", byteArray, false, [["three"]]),
    leaf("ids.list.element", int64, true, [[7, 8]]),
    leaf("chosen.list.element.role", byteArray, true, [["assistant"]]),
    leaf("chosen.list.element.content", byteArray, true, [["No"]]),
  ],
];

const expected = [
  {
    prompt: "one",
    ids: [1, 2, 3],
    chosen: [
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Hello" },
    ],
  },
  { prompt: "zwei ü", ids: [151_643], chosen: [{ role: "assistant", content: "Yes" }] },
  { prompt: "three", ids: [7, 8], chosen: [{ role: "assistant", content: "No" }] },
];

for (const isGzip of [false, true]) {
  test(`strings, lists of 64-bit ids and lists of messages over two row groups (gzip ${isGzip})`, async () => {
    const rows = await read(`rows-${isGzip}.parquet`, parquet(groups, schema, isGzip));
    assert.deepEqual(
      rows.map(({ value }) => value),
      expected,
    );
    assert.deepEqual(
      rows.map(({ origin }) => origin.line),
      [1, 2, 3],
    );
  });
}

interface GoldenFile {
  name: string;
  /** Base64. */
  file: string;
  /** As JSON. */
  rows: string[];
}

const { files } = golden<{ files: GoldenFile[] }>("parquet");

for (const { name, file, rows } of files.filter((each) => each.rows.length > 0)) {
  test(`${name}: the rows that pyarrow reads, without fields that Parquet invents; numbers keep their spelling`, async () => {
    const found = await read(`${name}.parquet`, Buffer.from(file, "base64"));
    const values = found.map(({ value }) => value);
    assert.deepEqual(
      values,
      rows.map((row) => parseJson(row)),
    );
  });
}

test("a column that is there twice is refused", async () => {
  const twice = [leaf("prompt", byteArray, false, [["one"]]), leaf("prompt", byteArray, false, [["two"]])];
  const column = element("prompt", { type: byteArray, repetition: required, converted: 0 });
  const file = parquet([twice], [element("schema", { children: 2 }), column, column], false);
  await assert.rejects(
    read("twice.parquet", file),
    /twice\.parquet: expected every column and field to have its own name, got "prompt" twice\. /,
  );
});

test("text that is not UTF-8 is a fault of its row, named with its column; columns of bytes may hold anything", async () => {
  const file = files.find(({ name }) => name === "invalid-utf8")?.file ?? "";
  const [first, second, third] = await read("invalid-utf8.parquet", Buffer.from(file, "base64"));
  assert.deepEqual(first?.value, { chosen: "yes", image: Uint8Array.of(0xff, 0xd8) });
  assert.throws(
    () => second?.value,
    (error) =>
      error instanceof DataError &&
      /invalid-utf8\.parquet:2, column "chosen": expected UTF-8 text, got other bytes\. Mend or remove/.test(
        error.message,
      ),
  );
  assert.deepEqual(third?.value, { chosen: "maybe", image: null });
});

test("files that are not Parquet, cut short, or claim absurd sizes are refused by name", async () => {
  const whole = parquet(groups, schema, false);
  const refused = { name: "DataError", message: /\.parquet: expected a Parquet file, but it cannot be read/ };
  await assert.rejects(read("text.parquet", Buffer.from("prompt,chosen\n")), {
    name: "DataError",
    message:
      /text\.parquet: expected a Parquet file, as its name says, got text\. Give it the ending of what it is/,
  });
  await assert.rejects(read("cut.parquet", whole.subarray(0, whole.length - 20)), refused);
  await assert.rejects(read("empty.parquet", Buffer.alloc(0)), refused);
  await assert.rejects(
    read("bomb.parquet", parquet(groups, schema, false, 2 ** 45)),
    /bomb\.parquet: expected row groups of at most 4 GiB/,
  );
});
