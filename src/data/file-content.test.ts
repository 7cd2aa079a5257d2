import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";

import { golden } from "../../test/support/goldens.ts";
import { readRows } from "./sources.ts";

const folder = mkdtempSync(join(tmpdir(), "preftune-content-"));
after(() => rmSync(folder, { recursive: true }));

const row = '{"prompt":"a","chosen":"b","rejected":"c"}\n';
const { files } = golden<{ files: { name: string; file: string }[] }>("parquet");

function goldenFile(name: string): Buffer {
  return Buffer.from(files.find((each) => each.name === name)?.file ?? "", "base64");
}

function write(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

async function refusal(path: string): Promise<string> {
  try {
    for await (const _ of readRows({ path }));
  } catch (error) {
    assert.equal((error as Error).name, "DataError");
    return (error as Error).message.replaceAll(`${folder}/`, "");
  }
  return "none";
}

/** Runs the command that a message ends with, in the folder. */
function runHint(message: string, before: RegExp): void {
  const command = message.split(before)[1] ?? "";
  execFileSync("sh", ["-c", command], { cwd: folder });
}

test("a file whose content is not what its name says is refused, and the rename that is named works", async () => {
  for (const [name, content, message, renamed] of [
    ["a.jsonl", gzipSync(row), "expected text, as its name says, got a gzip file", "a.jsonl.gz"],
    ["b.json", zstdCompressSync(row), "expected text, as its name says, got a zstd file", "b.json.zst"],
    ["c.csv", goldenFile("snappy-1.0"), "expected text, as its name says, got a Parquet file", "c.parquet"],
    ["d.jsonl.gz", Buffer.from(row), "expected a gzip file, as its name says, got text", "d.jsonl"],
    ["e.jsonl.zst", gzipSync(row), "expected a zstd file, as its name says, got a gzip file", "e.jsonl.gz"],
    ["f.parquet", Buffer.from(row), "expected a Parquet file, as its name says, got text", "f.jsonl"],
    ["g h's.jsonl", gzipSync(row), "expected text, as its name says, got a gzip file", "g h's.jsonl.gz"],
  ] as const) {
    const said = await refusal(write(name, content));
    assert.ok(said.startsWith(`${name}: ${message}. Rename it: mv `), said);
    runHint(said, /Rename it: /);
    assert.ok(existsSync(join(folder, renamed)), said);
    assert.equal(await refusal(join(folder, renamed)), "none");
  }
});

test("UTF-16, with a byte order mark and without, is refused with the command that converts it", async () => {
  for (const [name, bytes] of [
    ["le.jsonl", Buffer.from(`\ufeff${row}`, "utf16le")],
    ["be.csv", Buffer.from(`\ufeff${"a,b\n1,2\n"}`, "utf16le").swap16()],
  ] as const) {
    const said = await refusal(write(name, bytes));
    assert.match(said, /expected text, as its name says, got text in UTF-16\. Save it as UTF-8: iconv/);
    runHint(said, /Save it as UTF-8: /);
    assert.equal(await refusal(join(folder, name.replace(".", ".utf8."))), "none");
  }
  assert.match(await refusal(write("bare.json", Buffer.from(`[${row}]`, "utf16le"))), /got text in UTF-16/);
});

test("what else is found under the names of data files is named", async () => {
  for (const [content, word] of [
    ["PK\x03\x04....", /got a zip archive .*Unpack it, or save the table as CSV/],
    ["BZh91AY", /got a bzip2 file\. Decompress it: bzip2 -dc/],
    ["\xfd7zXZ\0", /got an xz file\. Decompress it: xz -dc/],
    ["SQLite format 3\0", /got an SQLite database/],
    ["<!DOCTYPE html><html>", /got a web page\. Download the file itself; .*\/resolve\//],
    ["version https://git-lfs.github.com/spec/v1\n", /got a Git LFS pointer\. .*git lfs pull/],
  ] as const) {
    assert.match(await refusal(write("x.jsonl", Buffer.from(content, "latin1"))), word);
  }
});

test("Arrow files and what save_to_disk wrote are refused with the command that makes Parquet of them", async () => {
  const arrow = write("data.arrow", goldenFile("arrow-stream"));
  const place = folder;
  assert.equal(
    await refusal(arrow),
    "data.arrow: expected a name that ends in .jsonl, .ndjson, .json, .csv, .tsv (each also with .gz or .zst) or .parquet. Convert " +
      "it to Parquet: python -c \"from datasets import Dataset; Dataset.from_file('data.arrow').to_parquet('data.parquet')\"",
  );
  assert.match(
    await refusal(write("data.feather", goldenFile("arrow-file"))),
    /python -c "import pandas; pandas\.read_feather\('data\.feather'\)\.to_parquet\('data\.parquet'\)"$/,
  );
  assert.match(
    await refusal(write("arrow.jsonl", goldenFile("arrow-stream"))),
    /got an Arrow stream\. .*from_file/,
  );
  for (const name of ["state.json", "dataset_info.json"]) write(`saved/${name}`, "{}");
  write("saved/data-00000-of-00001.arrow", goldenFile("arrow-stream"));
  assert.equal(
    (await refusal(join(place, "saved"))).split("wrote. ")[1],
    "Convert it to Parquet: python -c \"from datasets import load_from_disk; load_from_disk('saved').to_parquet('saved.parquet')\"",
  );
  write("dict/dataset_dict.json", '{"splits": ["test", "train"]}');
  for (const split of ["test", "train"]) write(`dict/${split}/state.json`, "{}");
  assert.match(
    await refusal(join(place, "dict")),
    /load_from_disk\('dict'\)\['train'\]\.to_parquet\('dict\.parquet'\)"$/,
  );
});

test("files of endings that are not read are refused with the way out", async () => {
  for (const [name, message] of [
    ["rows.jsonl.bz2", /Decompress it: bzip2 -dk rows\.jsonl\.bz2$/],
    ["rows.jsonl.xz", /Decompress it: xz -dk rows\.jsonl\.xz$/],
    ["rows.parquet.gz", /Parquet compresses itself: decompress the file\.$/],
    ["rows.tar.gz", /Unpack it/],
    ["rows.xlsx", /Save the table as CSV in UTF-8\.$/],
    ["rows.txt", /Rename or convert the file\.$/],
  ] as const) {
    assert.match(await refusal(write(name, "x")), message);
  }
});

test("forms that are taken for JSON lines or CSV by mistake are named", async () => {
  assert.match(
    await refusal(write("list.jsonl", `[\n${row}]`)),
    /list\.jsonl:1: expected one JSON object per line, got the beginning of a list\. .*the ending \.json/,
  );
  assert.match(
    await refusal(write("object.json", '{\n "data": []\n}')),
    /object\.json:1: expected a list of rows, or one JSON object per line, got an object over several lines/,
  );
  assert.match(
    await refusal(write("semicolons.csv", "prompt;chosen;rejected\na;b;c\n")),
    /semicolons\.csv:1: expected the names of columns divided by commas, got one name with semicolons or tabs in it/,
  );
  assert.match(
    await refusal(write("tabs.csv", "prompt\tchosen\na\tb\n")),
    /or give the file's name the ending \.tsv/,
  );
  assert.match(
    await refusal(write("commas.tsv", "prompt,chosen\na,b\n")),
    /divided by tabs, got one name with commas/,
  );
  assert.equal(await refusal(write("one.csv", "text\na; b\n")), "none");
});

test("text that begins with PARE is text; an encrypted Parquet file, which does too, is none", async () => {
  assert.equal(await refusal(write("ids.csv", "PARENT_ID,prompt\n1,a\n")), "none");
  const encrypted = Buffer.concat([
    Buffer.from("PARE"),
    Buffer.from([0x3c, 0x02, 0, 0]),
    Buffer.alloc(32, 7),
  ]);
  assert.match(
    await refusal(write("locked.csv", encrypted)),
    /expected text, as its name says, got a Parquet/,
  );
});
