/** What the safetensors writer refuses, and that it leaves no half file behind. The round trip is in `safetensors.test.ts`. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { FileError } from "../base/errors.ts";
import { type FileIo, io } from "../base/file-io.ts";
import type { TensorDtype } from "./safetensors-layout.ts";
import { type TensorSource, writeSafetensors } from "./safetensors-write.ts";

let dir = "";
before(() => {
  dir = mkdtempSync(join(tmpdir(), "preftune-safetensors-"));
});
after(() => rmSync(dir, { recursive: true, force: true }));

const realIo: FileIo = { ...io };
afterEach(() => {
  Object.assign(io, realIo);
});

function source(name: string, dtype: TensorDtype, shape: number[], bytes: Uint8Array): TensorSource {
  return { name, dtype, shape, bytes: () => bytes };
}

describe("refusals of the writer", () => {
  const path = (): string => join(dir, "refused.safetensors");
  const a = source("a", "U8", [2], new Uint8Array(2));

  test("leave no file behind", () => {
    const short = source("b", "F32", [2], new Uint8Array(7));
    assert.throws(
      () => writeSafetensors(path(), [a, short]),
      /"b" of F32 \[2\] takes 8 bytes, its source gave 7/,
    );
    assert.throws(() => writeSafetensors(path(), [a, a]), /tensor name "a" is taken/);
    assert.throws(
      () => writeSafetensors(path(), [{ ...a, name: "__metadata__" }]),
      /"__metadata__" is taken/,
    );
    assert.throws(() => writeSafetensors(path(), [{ ...a, shape: [-1] }]), /shape \[-1\] cannot be stored/);
    assert(!readdirSync(dir).includes("refused.safetensors"));
  });

  test("an existing file is never touched", () => {
    writeFileSync(path(), "precious");
    assert.throws(() => writeSafetensors(path(), [a]), /Cannot write .*EEXIST.*left as it was/);
    assert.equal(readFileSync(path(), "utf8"), "precious");
    rmSync(path());
  });

  test("a full disk names path and bytes and removes the partial file", () => {
    let writes = 0;
    io.writeSync = (fd, content, offset, length) => {
      if (++writes > 1) throw Object.assign(new Error("ENOSPC: no space"), { code: "ENOSPC" });
      return realIo.writeSync(fd, content, offset, length);
    };
    assert.throws(
      () => writeSafetensors(path(), [a], {}),
      (error: unknown) =>
        error instanceof FileError &&
        /refused\.safetensors: the disk is full \(ENOSPC\), 66 bytes.*partial file was removed/.test(
          error.message,
        ),
    );
    assert(!readdirSync(dir).includes("refused.safetensors"));
  });

  test("a file that cannot fit is not begun", () => {
    const huge = { ...a, shape: [2 ** 52] };
    assert.throws(() => writeSafetensors(path(), [huge]), /are needed, .* are free\. Nothing was written/);
  });
});
