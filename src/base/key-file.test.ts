/** Files with keys: what is read, what is refused without showing it, and who else could read them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { listenToWarnings } from "../../test/support/warnings.ts";
import { ConfigError, FileError } from "./errors.ts";
import { readKeyFile } from "./key-file.ts";

const option = "--api-key-file";

const dir = mkdtempSync(join(tmpdir(), "preftune-key-"));
after(() => rmSync(dir, { recursive: true }));

test("a file's only word is the key, white space around it or not; anything else is refused without being shown", () => {
  const path = join(dir, "key");
  const read = (text: string) => {
    writeFileSync(path, text, { mode: 0o600 });
    return readKeyFile(path, option);
  };
  for (const text of ["k3y", "k3y\n", "  k3y\r\n\n"]) assert.equal(read(text), "k3y");
  for (const text of ["", "\n \n", "secret words", "secret\nsecond"]) {
    assert.throws(
      () => read(text),
      (error: Error) =>
        error instanceof ConfigError &&
        /^--api-key-file .*expected a file with one key/.test(error.message) &&
        !error.message.includes("secret"),
    );
  }
  assert.throws(() => readKeyFile(join(dir, "none"), option), FileError);
  assert.throws(() => readKeyFile(dir, option), FileError);
  assert.throws(() => readKeyFile("/dev/zero", option), FileError);
  assert.throws(() => read("secret ".repeat(1000)), /at most 4\.0 KiB, got 6\.8 KiB/);
});

test("the hint that makes a key file can be pasted and works", () => {
  const path = join(dir, "key");
  writeFileSync(path, "");
  let hint = "";
  assert.throws(
    () => readKeyFile(path, option),
    ({ message }: Error) => {
      hint = /Make one: (.*)$/.exec(message)?.[1] ?? "";
      return true;
    },
  );
  execFileSync("sh", ["-c", hint]);
  assert.match(readKeyFile(path, option), /^[A-Za-z0-9+/]{32}$/);
});

test("a key that others can read is warned of; one in a folder of the owner's alone is not", async (t) => {
  const warnings = listenToWarnings(t);
  const path = join(dir, "key");
  writeFileSync(path, "k3y");
  chmodSync(path, 0o644);
  readKeyFile(path, option);
  assert.deepEqual(await warnings(path), []);
  chmodSync(dir, 0o755);
  chmodSync(path, 0o600);
  readKeyFile(path, option);
  assert.deepEqual(await warnings(path), []);
  chmodSync(path, 0o640);
  readKeyFile(path, option);
  assert.deepEqual(await warnings(path), [
    `${path}: other users of this machine can read this key. Run: chmod 600 ${path}`,
  ]);
});
