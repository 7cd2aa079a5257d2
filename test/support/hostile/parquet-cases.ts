/** Parquet files whose headers of pages, columns and rows say other numbers than are there: of what memory would be taken for. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { byteArray, element, type Lies, leaf, parquet, required } from "../parquet.ts";
import type { HostileCase } from "./hostile.ts";

const columns = ["prompt", "chosen", "rejected"];
const schema = [
  element("schema", { children: columns.length }),
  ...columns.map((name) => element(name, { type: byteArray, repetition: required, converted: 0 })),
];
const groups = [columns.map((name) => leaf(name, byteArray, false, [["one"], ["two"]]))];

/** [what the file says, how, what is said of it] */
const lies: readonly (readonly [name: string, lies: Lies, expects: RegExp])[] = [
  ["a page of 2 GiB", { pageSize: 2 ** 31 - 1 }, /hold more than 100 times as much/],
  ["a page stored in 1 GiB", { storedSize: 2 ** 30 }, /a page of it is larger than its column/],
  ["a page of a billion values", { pageValues: 2 ** 30 }, /more values than its footer says/],
  [
    "a page and a column of a billion values",
    { values: 2 ** 30, pageValues: 2 ** 30 },
    /another number of values than rows|claims \d+ values/,
  ],
  [
    "a billion rows, of as many values in each page",
    { values: 2 ** 30, pageValues: 2 ** 30, groupRows: 2 ** 30, rows: 2 ** 30 },
    /claims \d+ values/,
  ],
  ["a row group of 2^40 rows", { groupRows: 2 ** 40 }, /another number of values than rows/],
  ["a column at 2^40", { offset: 2 ** 40 }, /a column lies outside of it/],
  ["a column of 2^40 bytes", { chunkBytes: 2 ** 40 }, /a column lies outside of it/],
  ["a footer of 4 GiB", { footerLength: 2 ** 32 - 1 }, /its footer is larger than the file/],
  ["a text of 4 GiB", { content: Buffer.from("ffffffff", "hex") }, /longer than its page|too short/],
  [
    "blocks of 2^31 parts",
    { encoding: 7, content: Buffer.from("8001ffffffff0f0200", "hex") },
    /of a size that cannot be/,
  ],
];

/** A page that holds far more than its header says, compressed. */
const understated: Lies = {
  isGzip: true,
  pageSize: 100,
  get content() {
    return Buffer.alloc(2 ** 28);
  },
};

function parquetCase(name: string, lie: Lies, expects: RegExp): HostileCase {
  const path = (dir: string): string => join(dir, "x.parquet");
  return {
    name: `x.parquet: ${name}`,
    write: (dir) => writeFileSync(path(dir), parquet(groups, schema, lie)),
    command: (dir) => ["train", join(dir, "run.yaml"), "--train_data", path(dir)],
    expects,
  };
}

/** Each plain and compressed. */
export const parquetCases: HostileCase[] = [
  ...lies.flatMap(([name, lie, expects]) => [
    parquetCase(name, lie, expects),
    parquetCase(`${name}, gzip`, { ...lie, isGzip: true }, expects),
  ]),
  parquetCase("a page of 256 MB that says 100 bytes, gzip", understated, /do not fit together/),
];
