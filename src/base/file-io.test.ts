/** What a failed write says. */
import assert from "node:assert/strict";
import { closeSync, existsSync, openSync } from "node:fs";
import { test } from "node:test";
import { fileWork, writeAllSync } from "./file-io.ts";

test("a write without room names the bytes that it still had to write", {
  skip: existsSync("/dev/full") ? false : "needs /dev/full",
}, () => {
  const fd = openSync("/dev/full", "w");
  try {
    const write = () =>
      fileWork({ action: "write", path: "/data/rows" }, () => writeAllSync(fd, Buffer.alloc(3000)));
    assert.throws(
      write,
      /Cannot write \/data\/rows: the disk is full \(ENOSPC\), 3000 bytes \(2\.9 KiB\) are needed/,
    );
  } finally {
    closeSync(fd);
  }
});
