import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { gzipSync, zstdCompressSync } from "node:zlib";

import { DataError } from "../base/errors.ts";
import { fileKind } from "./data-file.ts";
import type { RawRow } from "./example.ts";
import { readLines } from "./lines.ts";
import { readRows } from "./sources.ts";

const folder = mkdtempSync(join(tmpdir(), "preftune-sources-"));
after(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, content);
  return path;
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

function read(path: string): Promise<RawRow[]> {
  return collect(readRows({ path }));
}

async function values(path: string): Promise<unknown[]> {
  return (await read(path)).map((row) => row.value);
}

/** Lines of the rows' origins. */
async function lines(path: string): Promise<number[]> {
  return (await read(path)).map((row) => row.origin.line);
}

async function rejects(path: string, message: RegExp): Promise<void> {
  await assert.rejects(read(path), (error: Error) => {
    assert.equal(error.name, "DataError");
    assert.match(error.message, message);
    return true;
  });
}

const rows = [{ a: 1 }, { a: "ü\n" }, { b: null }];
const jsonl = rows.map((row) => JSON.stringify(row)).join("\n");

test("formats are told by name", () => {
  assert.deepEqual(fileKind("x/Train.JSONL.GZ"), { format: "jsonl", compression: "gzip" });
  assert.deepEqual(fileKind("a.csv.zst"), { format: "csv", compression: "zstd" });
  assert.deepEqual(fileKind("a.parquet"), { format: "parquet", compression: "none" });
  for (const name of ["a.txt", "a.gz", "jsonl.bak", "a.parquet.gz", "README"])
    assert.equal(fileKind(name), null);
});

test("JSON lines: plain, gzip, zstd; byte order mark, carriage returns and blank lines are passed over", async () => {
  for (const path of [
    write("a.jsonl", jsonl),
    write("a.jsonl.gz", gzipSync(jsonl)),
    write("a.ndjson.zst", zstdCompressSync(jsonl)),
    write("crlf.jsonl", `\ufeff${jsonl.replaceAll("\n", "\r\n")}\r\n`),
  ]) {
    assert.deepEqual(await values(path), rows);
    assert.deepEqual(await lines(path), [1, 2, 3]);
  }
  assert.deepEqual(await lines(write("blank.jsonl", '{"a":1}\n\n  \n{"a":2}\n')), [1, 4]);
});

test("JSON lines: the faulty line is named and not quoted", async () => {
  await rejects(
    write("bad.jsonl", `${jsonl}\n{"secret": oops}`),
    /bad\.jsonl:4: expected one JSON object per line, but it is not valid JSON/,
  );
  await assert.rejects(read(join(folder, "bad.jsonl")), (error: Error) => !error.message.includes("secret"));
  await rejects(write("short.jsonl", `${jsonl}\n{"a": "b`), /short\.jsonl:4: .*ends too early/);
  await rejects(write("nan.jsonl", '{"a": NaN}'), /nan\.jsonl:1: .*NaN, which JSON does not know/);
  await rejects(
    write("list.jsonl", "{}\n[1]\n"),
    /list\.jsonl:2: expected a row to be an object with named columns, got a list/,
  );
  await rejects(write("null.jsonl", '{"a":1}\nnull\n'), /null\.jsonl:2: .*got null/);
  await rejects(
    write("latin.jsonl", Buffer.from('{"a":1}\n{"a":"\xfc"}\n', "latin1")),
    /latin\.jsonl:2: expected UTF-8/,
  );
});

test("damaged and truncated compressed files are named with the line reached", async () => {
  const many = Array.from({ length: 20_000 }, (_, i) => JSON.stringify({ i, x: Math.sin(i) })).join("\n");
  for (const [name, bytes] of [
    ["cut.jsonl.gz", gzipSync(many)],
    ["cut.jsonl.zst", zstdCompressSync(many)],
  ] as const) {
    const path = write(name, bytes);
    truncateSync(path, bytes.length - 100);
    await rejects(
      path,
      /cut\.jsonl\.(gz|zst):\d+: expected a whole (gzip|zstd) file, but it is damaged or cut short/,
    );
  }
});

test("compressed files are read to their last frame or member, and refused where they go on as something else", async () => {
  for (const [ending, halves, whole] of [
    ["jsonl", ['{"a":1}\n{"a"', ":2}\n"], [{ a: 1 }, { a: 2 }]],
    ["json", ['[{"a":1},', '{"a":2}]'], [{ a: 1 }, { a: 2 }]],
    ["csv", ["a,b\n1,", "2\n"], [{ a: "1", b: "2" }]],
    ["tsv", ["a\tb\n1", "\t2\n"], [{ a: "1", b: "2" }]],
  ] as const) {
    for (const [suffix, compress] of [
      ["gz", gzipSync],
      ["zst", zstdCompressSync],
    ] as const) {
      const bytes = Buffer.concat(halves.map((half) => compress(half)));
      assert.deepEqual(await values(write(`halves.${ending}.${suffix}`, bytes)), whole);
      const more = Buffer.concat([bytes, Buffer.from("more")]);
      await rejects(
        write(`more.${ending}.${suffix}`, more),
        /more\.\w+\.\w+(:\d+)?: expected a whole \w+ file, but .*other bytes stand behind its last/,
      );
      await rejects(
        write(`cut.${ending}.${suffix}`, bytes.subarray(0, -3)),
        /cut\.\w+\.\w+(:\d+)?: expected a whole \w+ file, but .*it ends too early/,
      );
    }
  }
});

test("a line longer than the limit ends reading before it is held in memory", async () => {
  const path = write("bomb.jsonl.gz", gzipSync(`{"a":1}\n"${" ".repeat(5_000_000)}"`));
  const file = { path, name: "bomb.jsonl.gz", format: "jsonl", compression: "gzip" } as const;
  await assert.rejects(
    collect(readLines(file, 1024 * 1024)),
    /bomb\.jsonl\.gz:2: expected lines of at most 1 MiB/,
  );
  assert.equal((await collect(readLines(file, 8 * 1024 * 1024))).length, 2);
});

test(".json: a list of rows, or JSON lines by another name", async () => {
  assert.deepEqual(await values(write("list.json", JSON.stringify(rows, null, 2))), rows);
  assert.deepEqual(
    await lines(write("list2.json.gz", gzipSync(` \ufeff${JSON.stringify(rows)}`.trim()))),
    [1, 2, 3],
  );
  assert.deepEqual(await values(write("lines.json", jsonl)), rows);
  assert.deepEqual(await values(write("empty.json", "[]")), []);
  await rejects(
    write("mixed.json", '[{"a":1}, 5]'),
    /mixed\.json:2: expected a row to be an object.*got a number/,
  );
  await rejects(
    write("open.json", '[{"a":1}, '),
    /open\.json:2: expected a JSON object, but the JSON ends too early/,
  );
});

test("CSV: quoted commas and line breaks; rows are named by the line they begin on", async () => {
  const path = write("a.csv", '\ufeffprompt,chosen\r\n"a, ""b""",c\r\n"two\nlines",d\r\ne,f\r\n');
  assert.deepEqual(await values(path), [
    { prompt: 'a, "b"', chosen: "c" },
    { prompt: "two\nlines", chosen: "d" },
    { prompt: "e", chosen: "f" },
  ]);
  assert.deepEqual(await lines(path), [2, 3, 5]);
  assert.equal((await read(path))[0]?.isText, true);
  assert.deepEqual(await values(write("a.tsv.gz", gzipSync("a\tb\n1,5\t2\n"))), [{ a: "1,5", b: "2" }]);
});

test("CSV: every end of line ends a row, whatever the first line has, as Python's csv reads it", async () => {
  // list(csv.reader(io.StringIO(text, newline=""))) of Python 3 gives these rows
  const mixed = write("mixed.csv", 'a,b\n1,2\r\n\r\n"x\r\ny",3\r5,"z\rw"\r\n6,7\r');
  assert.deepEqual(await values(mixed), [
    { a: "1", b: "2" },
    { a: "x\r\ny", b: "3" },
    { a: "5", b: "z\rw" },
    { a: "6", b: "7" },
  ]);
  assert.deepEqual(await lines(mixed), [2, 4, 6, 8]);
  assert.deepEqual(await values(write("lf.csv", "text\r\nhello\nworld\r\n")), [
    { text: "hello" },
    { text: "world" },
  ]);
});

test("CSV: wrong numbers of cells, open quotes and repeated columns are refused", async () => {
  await rejects(
    write("cells.csv", "a,b\n1,2\n1,2,3\n"),
    /cells\.csv:3: expected 2 cells as in the first line, got 3/,
  );
  await rejects(write("few.csv", "a,b\n1\n"), /few\.csv:2: expected 2 cells as in the first line, got 1/);
  await rejects(
    write("quote.csv", 'a,b\n1,"2\n3,4\n'),
    /quote\.csv:\d+: expected a closing quote before the end/,
  );
  await rejects(write("stray.csv", 'a,b\n1,2"x"\n'), /stray\.csv:2: expected CSV with quotes doubled/);
  await rejects(
    write("twice.csv", "a,b,a\n1,2,3\n"),
    /twice\.csv:1: expected every column to have its own name, got "a" twice/,
  );
  await rejects(
    write("cut.csv.gz", gzipSync("a,b\n1,2\n".repeat(9999)).subarray(0, 60)),
    /cut\.csv\.gz:\d+: expected a whole gzip/,
  );
});

test("a directory: its data files in order of name; a glob: what matches", async () => {
  write("dir/b.jsonl", '{"n":2}');
  write("dir/a.json", '[{"n":1}]');
  write("dir/README.md", "not data");
  write("dir/.hidden.jsonl", '{"n":9}');
  write("dir/deep/c.jsonl", '{"n":3}');
  assert.deepEqual(await values(join(folder, "dir")), [{ n: 1 }, { n: 2 }]);
  assert.deepEqual(await values(join(folder, "dir/*.jsonl")), [{ n: 2 }]);
  assert.deepEqual(await values(join(folder, "dir/**/*.jsonl")), [{ n: 2 }, { n: 3 }]);
  assert.equal((await read(join(folder, "dir")))[0]?.origin.file, join(folder, "dir/a.json"));
});

test("a directory of several splits: the files of train, as in datasets, and the others are told of", async () => {
  const names = ["test-00000-of-00001.jsonl", "train-00000-of-00001.jsonl", "more.jsonl"];
  for (const name of names) write(`clone/data/${name}`, JSON.stringify({ name }));
  const data = join(folder, "clone/data");
  await rejects(join(folder, "clone"), new RegExp(`Did you mean "${data}"`));
  const told: string[] = [];
  const rows = await collect(readRows({ path: data }, (file) => told.push(basename(file))));
  assert.deepEqual(
    rows.map(({ value }) => value),
    [{ name: names[1] }],
  );
  assert.deepEqual(told, ["more.jsonl (no split)", "test-00000-of-00001.jsonl (split test)"]);
  assert.equal((await values(`${data}/*`)).length, 3);
  await rejects(`${join(folder, "clone")}:test`, new RegExp(`Name its files \\(${data}/test\\*\\)`));
  rmSync(join(data, names[1] ?? ""));
  await rejects(
    data,
    /expected a directory with files of one split, .*got no split, split test\. Name .*data\/\* for/,
  );
  for (const name of ["train_a.jsonl", "my.train_b.jsonl"]) write(`one/${name}`, "{}");
  assert.equal((await values(join(folder, "one"))).length, 2);
  for (const name of ["train_gen", "train_sft"]) write(`two/${name}-00000-of-00001.jsonl`, "{}");
  await rejects(join(folder, "two"), /got split train_gen, split train_sft\./);
});

test("what lies beside the files read, and files without rows, are told of; descriptions are not", async () => {
  for (const name of ["b.jsonl", "deep/c.jsonl"]) write(`mixed/${name}`, '{"n":1}');
  for (const name of ["README.md", "LICENSE", "dataset_info.json", "notes.txt", "old.parquet.gz"]) {
    write(`mixed/${name}`, '{"description":"x"}');
  }
  for (const name of ["license-qa.jsonl", "readme_tasks.jsonl"]) write(`mixed/${name}`, '{"n":2}');
  for (const name of ["state.json", "config.json", "LICENCE.txt"]) write(`mixed/${name}`, "{}");
  write("mixed/a.jsonl", "\n");
  write("mixed/.hidden", "");
  mkdirSync(join(folder, "mixed/plots"));
  const told: string[] = [];
  const rows = await collect(readRows({ path: join(folder, "mixed") }, (file) => told.push(file)));
  assert.deepEqual(
    rows.map(({ value }) => value),
    [{ n: 1 }, { n: 2 }, { n: 2 }],
  );
  assert.deepEqual(
    told.map((file) => file.replace(`${folder}/mixed/`, "")),
    ["config.json", "notes.txt", "old.parquet.gz", "state.json", "deep/", "a.jsonl (no rows)"],
  );
});

test("whoever does not ask what was passed over is warned of it", async () => {
  for (const name of ["a.jsonl", "b.jsonl.bz2", "more/c.jsonl"]) write(`silent/${name}`, '{"n":1}');
  const told: string[] = [];
  const listen = ({ message }: Error): void => void told.push(message);
  process.on("warning", listen);
  assert.equal((await read(join(folder, "silent"))).length, 1);
  await setImmediate();
  process.off("warning", listen);
  assert.deepEqual(told, [
    `${folder}/silent: a file that lies beside those read and was not read, or has no rows: ${folder}/silent/b.jsonl.bz2, ` +
      `${folder}/silent/more/.`,
  ]);
});

test("paths that lead nowhere", async () => {
  write("empty/notes.txt", "");
  await rejects(join(folder, "empty"), /expected data files .* in this directory, found none/);
  await rejects(join(folder, "*.nothing"), /expected data files .* to match, found none/);
  assert.deepEqual(await values(join(folder, "mixed/lic*.jsonl")), [{ n: 2 }]);
  await rejects(join(folder, "empty/notes.txt"), /expected a name that ends in \.jsonl/);
});

test("paths one folder off: the hint, pasted, has the rows", async () => {
  write("off/data/train.jsonl", '{"n":1}');
  write("off/rows.jsonl", '{"n":1}');
  mkdirSync(join(folder, "off/other"));
  for (const [given, right] of [
    ["off/train.jsonl", "off/data/train.jsonl"],
    ["off/other/rows.jsonl", "off/rows.jsonl"],
    ["off/row.jsonl", "off/rows.jsonl"],
    ["off/dta", "off/data"],
  ] as const) {
    await rejects(
      join(folder, given),
      new RegExp(`but nothing is there\\. Did you mean "${join(folder, right)}"\\?`),
    );
    assert.deepEqual(await values(join(folder, right)), [{ n: 1 }]);
  }
  write("above/data/train.jsonl", '{"n":1}');
  await rejects(
    join(folder, "above"),
    new RegExp(`found none\\. Did you mean "${join(folder, "above/data")}"`),
  );
});

test("files are closed however their reading ends", async () => {
  const open = (): number => readdirSync("/proc/self/fd").length;
  const text = '{"a":1}\n'.repeat(100_000);
  const whole = [gzipSync(text), zstdCompressSync(text)];
  const before = open();
  for (const [i, bytes] of whole.entries()) {
    const ending = i === 0 ? "gz" : "zst";
    await assert.rejects(collect(readRows({ path: write(`cut.jsonl.${ending}`, bytes.subarray(0, -9)) })));
    for await (const _ of readRows({ path: write(`left.jsonl.${ending}`, bytes) })) break;
  }
  assert.equal(open(), before);
});

test("a file that grows or shrinks while it is read is refused", async () => {
  const line = `${JSON.stringify({ text: "x".repeat(1000) })}\n`;
  for (const change of [
    (path: string) => appendFileSync(path, line),
    (path: string) => truncateSync(path, 10),
  ]) {
    const path = write("changing.jsonl", line.repeat(2000));
    const read = async () => {
      let rows = 0;
      for await (const _ of readRows({ path })) if (++rows === 1) change(path);
    };
    await assert.rejects(read(), (error) => {
      assert.ok(error instanceof DataError);
      assert.match(error.message, /changing\.jsonl.*expected a file that stays as it is while it is read/);
      return true;
    });
  }
});

test("a split of what is on the disk is refused, and the hub is not asked for a data set of that name", async () => {
  const pairs = join(write("clone/test.jsonl", jsonl), "..");
  await rejects(
    `${pairs}:test`,
    /clone:test: a split is of data sets on the hub, and .*clone is on this machine\. Name its files \(.*clone\/test\*\)\.$/,
  );
  assert.deepEqual(await values(`${pairs}/test*`), rows);
  await rejects(`${pairs}/test.jsonl:train`, /is on this machine\. Leave the split out\.$/);
  const here = process.cwd();
  process.chdir(folder);
  try {
    write("owner/clone/test.jsonl", jsonl);
    await rejects("owner/clone:test", /\(owner\/clone\/test\*\), or write hub:owner\/clone:test\.$/);
  } finally {
    process.chdir(here);
  }
});

test("parts of splits and sums of them, as datasets has them, are refused with what takes their place", async () => {
  for (const more of ["[:1000]", "[:10%]", "[10%:20%]+test", "+test"]) {
    const path = `owner/name:train${more}`;
    await assert.rejects(read(path), (error: Error) => {
      assert.ok(error.message.startsWith(`${path}: expected the name of one split, got "train${more}". `));
      assert.match(error.message, /\(owner\/name:train\): max_train_rows/);
      return true;
    });
  }
  await rejects("hub:owner/name/folder:train[:9]", /\(hub:owner\/name\/folder:train\)/);
  await rejects("owner/train-[0-9].jsonl", /expected data files .* to match/);
});
