/** Tests of json-lines.ts. */
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { damagedLines, JsonLinesWriter, readJsonLines, wholeLines } from "./json-lines.ts";

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

test("lines that are longer than what is read at once, and a torn one", () => {
  const root = mkdtempSync(join(tmpdir(), "preftune-lines-"));
  try {
    const path = join(root, "long.jsonl");
    // of three bytes a character, so that pieces end within some
    const rows = [1, 3_000_000, 2, 1_500_000].map((count, i) => ({ i, text: "語".repeat(count) }));
    writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const whole = readFileSync(path);
    appendFileSync(path, `{"text":"${"語".repeat(1_500_000)}`);
    const read = readJsonLines(path);
    assert.deepEqual(
      read.map(({ value }) => value),
      rows,
    );
    const offsets = rows.map((_, i) => whole.indexOf(`{"i":${i}`));
    assert.deepEqual(
      read.map(({ offset }) => offset),
      offsets,
    );
    assert.deepEqual(
      Array.from(wholeLines(path, offsets[2]), ({ value }) => value),
      rows.slice(2),
    );
    assert.equal(damagedLines(path), 0);
    new JsonLinesWriter(path).close();
    assert.ok(readFileSync(path).equals(whole));
  } finally {
    rmSync(root, { recursive: true });
  }
});
