/** Tests of json-lines.ts. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { JsonLinesWriter, readJsonLines } from "./json-lines.ts";

test("a file of a directory that is not there yet is written", () => {
  const root = mkdtempSync(join(tmpdir(), "preftune-lines-"));
  try {
    const path = join(root, "new", "deeper", "lines.jsonl");
    const writer = new JsonLinesWriter(path);
    writer.write({ a: 1 });
    writer.close();
    assert.deepEqual(
      [...readJsonLines(path)].map(({ value }) => value),
      [{ a: 1 }],
    );
  } finally {
    rmSync(root, { recursive: true });
  }
});
