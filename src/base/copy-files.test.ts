/** Copies on a disk that has no room for them. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { armFault } from "../../test/support/faults.ts";
import { copyFile } from "./copy-files.ts";
import { FileError } from "./errors.ts";

test("a copy that finds no room names the target and the bytes needed, and leaves nothing", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "preftune-copy-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const [source, target] = [join(dir, "tokenizer.json"), join(dir, "copy")];
  writeFileSync(source, "x".repeat(3000));
  for (const code of ["ENOSPC", "EDQUOT"] as const) {
    using _ = armFault({ code, at: 1, names: ["writeSync"] });
    assert.throws(
      () => copyFile(source, target),
      (error: unknown) =>
        error instanceof FileError &&
        error.message.startsWith(`Cannot write ${target}: `) &&
        error.message.includes(`(${code}), 3000 bytes (2.9 KiB) are needed. Free space under ${dir} `),
    );
    assert.ok(!existsSync(target));
  }
  copyFile(source, target);
  assert.throws(() => copyFile(source, target), /Cannot write .*copy: EEXIST/);
});
