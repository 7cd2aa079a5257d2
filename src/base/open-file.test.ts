/** Tests of open-file.ts: what is no regular file is refused by name, at once. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FileError, FormatError } from "./errors.ts";
import { readJsonFile, readTextFile, sha256File } from "./files.ts";
import { openFile, readFileBytes, statsOf } from "./open-file.ts";

const dir = mkdtempSync(join(tmpdir(), "open-file-"));
after(() => rmSync(dir, { recursive: true, force: true }));

function pipe(name: string): string {
  const path = join(dir, name);
  execFileSync("mkfifo", [path]);
  return path;
}

test("a named pipe, a device, a socket and links to them are refused by name", async () => {
  const named = pipe("pipe");
  const link = join(dir, "link");
  symlinkSync("/dev/zero", link);
  const socket = join(dir, "socket");
  await using server = createServer().listen(socket);
  await new Promise((resolve) => server.once("listening", resolve));
  const kinds: [string, RegExp][] = [
    [named, /pipe: expected a file, got a named pipe\. Give the path of a regular file\.$/],
    ["/dev/zero", /^\/dev\/zero: expected a file, got a device\./],
    [link, /link: expected a file, got a device\./],
    [socket, /socket: expected a file, got a socket\./],
  ];
  for (const [path, message] of kinds) {
    const refused = (error: unknown): boolean => error instanceof FileError && message.test(error.message);
    for (const open of [openFile, readFileBytes, readTextFile, readJsonFile, sha256File]) {
      assert.throws(() => open(path), refused, `${open.name} ${path}`);
    }
  }
});

test("files are read whole: empty, ordinary, behind a link, and those whose length the system does not tell", () => {
  const file = join(dir, "file");
  writeFileSync(file, "");
  assert.equal(readFileBytes(file).length, 0);
  const text = "ab".repeat(100_000);
  writeFileSync(file, text);
  symlinkSync("file", join(dir, "link-to-file"));
  assert.equal(readFileBytes(join(dir, "link-to-file")).toString(), text);
  assert.match(readFileBytes("/proc/self/status").toString(), /^Name:/);
});

test("a file above the limit is refused before it is read; a directory and a missing file are what they were", () => {
  const large = join(dir, "large");
  writeFileSync(large, "");
  truncateSync(large, 2 ** 40);
  assert.throws(
    () => readFileBytes(large),
    (error) =>
      error instanceof FormatError &&
      /large: expected a file of at most 256\.0 MiB, got 1\.0 TiB\.$/.test(error.message),
  );
  assert.throws(() => readFileBytes("/proc/self/maps", 16), /expected a file of at most 16 bytes, got more/);
  assert.throws(() => readTextFile(dir), /it is a directory, a file was expected/);
  assert.throws(() => readTextFile(join(dir, "none")), /there is no such file/);
});

test("links in a circle, and paths that the system does not reach, are nothing that is there", () => {
  const loop = join(dir, "loop");
  symlinkSync(loop, loop);
  assert.equal(statsOf(loop), null);
  assert.equal(statsOf(join(loop, "below")), null);
  assert.equal(statsOf(join(dir, "n".repeat(5000))), null);
  assert.equal(statsOf(dir)?.isDirectory(), true);
});
