/** A directory in which rows lie in several formats. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, test } from "node:test";

import { readRows } from "./sources.ts";

const files = {
  "a.csv": "n\n1\n",
  "b.jsonl": '{"n":2}',
  "c.csv": "n\n3\n",
  "d.json": '[{"n":4}]',
  "e.tsv": "n\n5\n",
} as const;

/** The rows that are read of a directory of `names`, and what is told of. */
async function told(...names: (keyof typeof files)[]): Promise<[string, string[]]> {
  const folder = mkdtempSync(join(tmpdir(), "preftune-formats-"));
  after(() => rmSync(folder, { recursive: true }));
  for (const name of names) writeFileSync(join(folder, name), files[name]);
  const numbers: unknown[] = [];
  const others: string[] = [];
  for await (const { value } of readRows({ path: folder }, (file) => others.push(basename(file))))
    numbers.push(value["n"]);
  return [numbers.join(), others];
}

test("the commonest is read, of as many JSON before CSV before TSV, as datasets 5.2 reads it, and the others are told of", async () => {
  assert.deepEqual(await told("a.csv", "b.jsonl"), ["2", ["a.csv (format csv)"]]);
  assert.deepEqual(await told("a.csv", "b.jsonl", "c.csv"), ["1,3", ["b.jsonl (format jsonl)"]]);
  assert.deepEqual(await told("b.jsonl", "d.json"), ["2,4", []]);
  assert.deepEqual(await told("a.csv", "e.tsv"), ["1", ["e.tsv (format tsv)"]]);
});
