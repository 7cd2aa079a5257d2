/** Digests of large files, which a program that others wait for takes piece by piece. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FileError } from "./errors.ts";
import { sha256, sha256FileInTurns } from "./files.ts";

test("other work is done between the pieces of a file, which is read again only where it was changed", async () => {
  const dir = mkdtempSync(join(tmpdir(), "preftune-digests-"));
  try {
    const path = join(dir, "rows.jsonl");
    const bytes = Buffer.alloc(9 * 1024 * 1024, "row\n");
    writeFileSync(path, bytes);
    let turns = 0;
    let isOver = false;
    const others = (async () => {
      while (!isOver) {
        await new Promise(setImmediate);
        turns += 1;
      }
    })();
    assert.equal(await sha256FileInTurns(path), sha256(bytes));
    // pieces of 4 MiB
    assert.ok(turns >= 2, `${turns}`);
    const before = turns;
    assert.equal(await sha256FileInTurns(path), sha256(bytes));
    assert.equal(turns, before);
    isOver = true;
    await others;
    writeFileSync(path, "row\n");
    assert.equal(await sha256FileInTurns(path), sha256("row\n"));
    await assert.rejects(sha256FileInTurns(join(dir, "gone")), FileError);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
