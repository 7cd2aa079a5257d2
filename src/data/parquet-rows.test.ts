import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { golden } from "../../test/support/goldens.ts";
import {
  byteArray,
  element,
  int64,
  type Lies,
  leaf,
  parquet,
  repeated,
  required,
  type Thrift,
} from "../../test/support/parquet.ts";
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
    const rows = await read(`rows-${isGzip}.parquet`, parquet(groups, schema, { isGzip }));
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

test("lists of before the format named their parts: a repeated group that is the element itself, as pyarrow reads it", async () => {
  const text = { type: byteArray, repetition: required, converted: 0 };
  const values = [["Hi", "Hello"], ["Yes"]];
  const file = (name: string, fields: readonly string[]) =>
    parquet(
      [fields.map((field) => leaf(`chosen.${name}.${field}`, byteArray, true, values))],
      [
        element("schema", { children: 1 }),
        element("chosen", { repetition: required, children: 1, converted: 3 }),
        element(name, { repetition: repeated, children: fields.length }),
        ...fields.map((field) => element(field, text)),
      ],
    );
  const both = values.map((list) => list.map((one) => ({ role: one, content: one })));
  const single = values.map((list) => list.map((content) => ({ content })));
  const cases: [name: string, fields: string[], lists: unknown[]][] = [
    ["array", ["role", "content"], both],
    ["bag", ["role", "content"], both],
    ["array", ["content"], single],
    ["chosen_tuple", ["content"], single],
    ["list", ["element"], values],
    ["bag", ["array_element"], values],
  ];
  for (const [name, fields, lists] of cases) {
    const rows = await read("before.parquet", file(name, fields));
    assert.deepEqual(
      rows.map(({ value }) => value["chosen"]),
      lists,
      `${name}: ${fields.join(", ")}`,
    );
  }
});

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

const fileOf = (wanted: string): Buffer =>
  Buffer.from(files.find(({ name }) => name === wanted)?.file ?? "", "base64");

test("an equal key of a map, and one that is no text and no whole number, are a fault of the row", async () => {
  const faults: [string, RegExp][] = [
    ["map-of-string", /:1, column "kwargs": expected every key of a map once, got "a" twice\. Fix or remove/],
    ["map-of-int64", /:1, column "kwargs": expected every key of a map once, got "1" twice\./],
    [
      "map-of-bool",
      /:1, column "kwargs": expected the keys of a map to be texts or whole numbers, got others\./,
    ],
  ];
  for (const [name, message] of faults) {
    const [first, second] = await read(`${name}.parquet`, fileOf(name));
    assert.throws(() => first?.value, { name: "DataError", message });
    assert.deepEqual(second?.value, { kwargs: {} });
  }
});

test("decimals of bytes of any length up to 32, which pyarrow reads but does not write", async () => {
  const rows = [["\u0001\u0002"], ["\u0000"], ["9".repeat(33)]];
  const decimals = (type: number, values: typeof rows): Buffer =>
    parquet(
      [[leaf("d", type, false, values)]],
      [element("schema", { children: 1 }), element("d", { type, repetition: required, converted: 5 })],
    );
  const [first, second, third] = await read("bytes.parquet", decimals(byteArray, rows));
  assert.deepEqual([first?.value, second?.value], [{ d: 258 }, { d: 0 }]);
  assert.throws(
    () => third?.value,
    /bytes\.parquet:3, column "d": expected decimals of at most 32 bytes, got other values/,
  );
});

test("columns of intervals and of BSON are bytes, beside which the others are read", async () => {
  const text = { type: byteArray, repetition: required, converted: 0 };
  for (const converted of [20, 21]) {
    const file = parquet(
      [[leaf("prompt", byteArray, false, [["one"]]), leaf("d", byteArray, false, [["\u0005\u0000"]])]],
      [
        element("schema", { children: 2 }),
        element("prompt", text),
        element("d", { type: byteArray, repetition: required, converted }),
      ],
    );
    const [row] = await read("interval.parquet", file);
    assert.deepEqual(row?.value, { prompt: "one", d: Uint8Array.of(5, 0) });
  }
});

test("a time of the day is one, whatever its unit, and not a number", async () => {
  const [first, second] = await read("times.parquet", fileOf("times"));
  const halfPastTen = new Date("1970-01-01T10:30:00.250Z");
  const columns = ["time32[ms]", "time64[us]", "time64[ns]"];
  assert.deepEqual(first?.value, Object.fromEntries(columns.map((name) => [name, halfPastTen])));
  assert.deepEqual(second?.value, Object.fromEntries(columns.map((name) => [name, null])));
});

test("a table without rows has none: pyarrow writes a row group whose columns lie nowhere", async () => {
  assert.deepEqual(await read("none.parquet", fileOf("no-rows")), []);
});

test("a column that is there twice is refused", async () => {
  const twice = [leaf("prompt", byteArray, false, [["one"]]), leaf("prompt", byteArray, false, [["two"]])];
  const column = element("prompt", { type: byteArray, repetition: required, converted: 0 });
  const file = parquet([twice], [element("schema", { children: 2 }), column, column]);
  await assert.rejects(
    read("twice.parquet", file),
    /twice\.parquet: expected every column and field to have its own name, got "prompt" twice\. /,
  );
});

test("text that is not UTF-8 is a fault of its row, named with its column; columns of bytes may hold anything", async () => {
  const [first, second, third] = await read("invalid-utf8.parquet", fileOf("invalid-utf8"));
  assert.deepEqual(first?.value, { chosen: "yes", image: Uint8Array.of(0xff, 0xd8) });
  assert.throws(
    () => second?.value,
    (error) =>
      error instanceof DataError &&
      /invalid-utf8\.parquet:2, column "chosen": expected UTF-8 text, got other bytes\. Fix or remove/.test(
        error.message,
      ),
  );
  assert.deepEqual(third?.value, { chosen: "maybe", image: null });
});

test("files that are not Parquet, cut short, or claim absurd sizes are refused by name", async () => {
  const whole = parquet(groups, schema);
  const refused = { name: "DataError", message: /\.parquet: expected a Parquet file, but it cannot be read/ };
  await assert.rejects(read("text.parquet", Buffer.from("prompt,chosen\n")), {
    name: "DataError",
    message:
      /text\.parquet: expected a Parquet file, as its name says, got text\. Give it the ending of what it is/,
  });
  await assert.rejects(read("cut.parquet", whole.subarray(0, whole.length - 20)), refused);
  await assert.rejects(read("empty.parquet", Buffer.alloc(0)), refused);
});

test("numbers that lie are found before anything is done by them", async () => {
  const lies: [Lies, RegExp][] = [
    [{ pageSize: 2 ** 31 - 1 }, /hold more than 100 times as much/],
    [{ storedSize: 2 ** 30 }, /a page of it is larger than its column/],
    [{ pageValues: 2 ** 30 }, /more values than its footer says/],
    [{ values: 2 ** 30, pageValues: 2 ** 30 }, /another number of values than rows|claims \d+ values/],
    [{ values: 1 }, /another number of values than rows/],
    [{ offset: 2 ** 40 }, /a column lies outside of it/],
    [{ chunkBytes: 2 ** 40 }, /a column lies outside of it/],
    [{ groupRows: 2 ** 40 }, /another number of values than rows/],
    [{ rows: 2 ** 40 }, /another number of rows/],
    [{ groupRows: 0, rows: 0 }, /another number of values than rows/],
    [{ footerLength: 2 ** 32 - 1 }, /its footer is larger than the file/],
    [{ footerLength: 3 }, /do not fit together|metadata/],
    [{ encoding: 5 }, /unknown encoding|blocks/],
    [{ encoding: 8 }, /no dictionary/],
    // a run of 2^31 levels, a text of 4 GiB, blocks of 2^31 parts
    [
      { content: Buffer.from([4, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0]) },
      /longer than its page|too short/,
    ],
    [{ content: Buffer.from("ffffffff", "hex") }, /longer than its page|too short/],
    [{ encoding: 7, content: Buffer.from("8001ffffffff0f0200", "hex") }, /of a size that cannot be/],
  ];
  for (const [lie, message] of lies) {
    for (const isGzip of [false, true]) {
      const file = parquet(groups, schema, { ...lie, isGzip });
      await assert.rejects(read("lie.parquet", file), { name: "DataError", message });
    }
  }
  // what a row group says of its size is not used
  assert.equal((await read("size.parquet", parquet(groups, schema, { groupBytes: 2 ** 45 }))).length, 3);
});

test("schemas and lists of a footer have limits", async () => {
  const text = { type: byteArray, repetition: required, converted: 0 };
  const wide = Array.from({ length: 1001 }, (_, i) => element(`c${i}`, text));
  const deep = Array.from({ length: 40 }, () => element("s", { repetition: required, children: 1 }));
  const schemas: [Thrift[], RegExp][] = [
    [[element("schema", { children: 1001 }), ...wide], /it has 1001 columns, and at most 1000 are read/],
    [[element("schema", { children: 1 }), ...deep, element("x", text)], /nested too deep/],
    [[element("schema", { children: 2 ** 30 })], /without a kind/],
    [[element("schema", { children: 2 }), element("x", text)], /incomplete/],
    [[element("schema", { children: 1 }), element("__proto__", text)], /without a name/],
    [[{ bytes: [0xf9, 0xff, 0xff, 0xff, 0xff, 0x07], type: 9 }], /metadata/],
  ];
  for (const [given, message] of schemas) {
    await assert.rejects(read("schema.parquet", parquet([], given)), { name: "DataError", message });
  }
});

test("a row knows the fields of its file's structures, and none inside lists", async () => {
  const text = { type: byteArray, repetition: required, converted: 0 };
  const nested = [
    element("schema", { children: 2 }),
    element("meta", { repetition: required, children: 1 }),
    element("system", text),
    element("ids", { repetition: required, children: 1, converted: 3 }),
    element("list", { repetition: repeated, children: 1 }),
    element("element", { type: int64, repetition: required }),
  ];
  const columns = [
    leaf("meta.system", byteArray, false, [["Be brief."]]),
    leaf("ids.list.element", int64, true, [[1, 2]]),
  ];
  const [row] = await read("fields.parquet", parquet([columns], nested));
  assert.deepEqual(row?.value, { meta: { system: "Be brief." }, ids: [1, 2] });
  const paths = ["meta", "meta.system", "ids", "ids.list", "ids.list.element", "meta.sytem", "system"];
  assert.deepEqual(
    paths.filter((path) => row?.isField?.(path)),
    ["meta", "meta.system", "ids"],
  );
});
