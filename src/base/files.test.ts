/** Crash-safe writing: the n-th system call fails, a disk is really full, a place really cannot be written. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { ConfigError, FileError, FormatError } from "./errors.ts";
import { type FileIo, io } from "./file-io.ts";
import {
  freeBytes,
  hashOfFile,
  readJsonFile,
  readTextFile,
  recoverDirectory,
  requireFreeBytes,
  sha256,
  sha256File,
  writeDirectoryAtomic,
  writeFileAtomic,
} from "./files.ts";

const realIo: FileIo = { ...io };
let dir = "";

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "preftune-files-"));
});

afterEach(() => {
  Object.assign(io, realIo);
  rmSync(dir, { recursive: true, force: true });
});

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

/** Makes the n-th system call from now fail once (or all from there on); returns whether it was reached. */
function failAt(n: number, code: string, options: { forever?: boolean } = {}): () => boolean {
  let count = 0;
  let hit = false;
  const guard = <A extends unknown[], R>(call: (...args: A) => R): ((...args: A) => R) => {
    return (...args) => {
      count++;
      if (count === n || (options.forever === true && count > n)) {
        hit = true;
        throw systemError(code);
      }
      return call(...args);
    };
  };
  Object.assign(io, {
    openSync: guard(realIo.openSync),
    writeSync: guard(realIo.writeSync),
    fsyncSync: guard(realIo.fsyncSync),
    closeSync: guard(realIo.closeSync),
    renameSync: guard(realIo.renameSync),
    mkdirSync: guard(realIo.mkdirSync),
    rmSync: guard(realIo.rmSync),
  });
  return () => hit;
}

function thrownBy(action: () => void): unknown {
  try {
    action();
    return null;
  } catch (error) {
    return error;
  }
}

describe("writeFileAtomic", () => {
  test("writes strings and bytes and leaves nothing else", () => {
    const path = join(dir, "a.json");
    writeFileAtomic(path, "héllo");
    assert.equal(readFileSync(path, "utf8"), "héllo");
    writeFileAtomic(path, new Uint8Array([1, 2, 3]));
    assert.deepEqual([...readFileSync(path)], [1, 2, 3]);
    assert.deepEqual(readdirSync(dir), ["a.json"]);
  });

  test("finishes short writes", () => {
    io.writeSync = (fd, bytes, offset, length) => realIo.writeSync(fd, bytes, offset, Math.min(2, length));
    writeFileAtomic(join(dir, "a"), "abcdefg");
    assert.equal(readFileSync(join(dir, "a"), "utf8"), "abcdefg");
  });

  /** Writes "new!" over "old" with the n-th call failing; false when the write has fewer calls. */
  function attempt(path: string, n: number, code: string): boolean {
    writeFileSync(path, "old");
    const wasHit = failAt(n, code);
    const thrown = thrownBy(() => writeFileAtomic(path, "new!"));
    Object.assign(io, realIo);
    const content = readFileSync(path, "utf8");
    assert.deepEqual(readdirSync(dir), ["a.json"], `call ${n} left something behind`);
    if (!wasHit()) {
      assert.deepEqual([thrown, content], [null, "new!"]);
      return false;
    }
    assert(thrown instanceof FileError, `call ${n}: ${String(thrown)}`);
    assert.match(thrown.message, /Cannot write .*a\.json/);
    if (code === "ENOSPC") assert.match(thrown.message, /disk is full \(ENOSPC\), 4 bytes/);
    if (content === "old") assert.match(thrown.message, /before is untouched/);
    else assert.deepEqual([content, /new content is in place/.test(thrown.message)], ["new!", true]);
    return true;
  }

  for (const code of ["EIO", "ENOSPC", "EDQUOT"]) {
    test(`every system call failing with ${code} keeps old content or has all of the new`, () => {
      let calls = 0;
      while (attempt(join(dir, "a.json"), calls + 1, code)) calls++;
      assert.equal(calls, 8, "open, write, fsync, close, rename, open, fsync, close");
    });
  }

  test("calls failing from the n-th on never harm the old content", () => {
    for (let n = 1; n <= 5; n++) {
      const path = join(dir, "a.json");
      writeFileSync(path, "old");
      failAt(n, "EROFS", { forever: true });
      assert.throws(() => writeFileAtomic(path, "new!"), /permission denied or read-only \(EROFS\)/);
      Object.assign(io, realIo);
      assert.equal(readFileSync(path, "utf8"), "old");
    }
  });

  test("an error that says all already comes through unchanged: a signal's, say", () => {
    io.writeSync = () => {
      throw new ConfigError("cut off");
    };
    assert.throws(() => writeFileAtomic(join(dir, "x"), "y"), { name: "ConfigError", message: "cut off" });
    assert.deepEqual(readdirSync(dir), []);
  });

  test("a real failure: a file where a directory is expected", () => {
    writeFileSync(join(dir, "file"), "x");
    assert.throws(
      () => writeFileAtomic(join(dir, "file", "out.json"), "y"),
      (error: unknown) =>
        error instanceof FileError && /out\.json: a part of the path is a file/.test(error.message),
    );
  });

  test("a real failure: a place the system never lets be written", {
    skip: process.platform !== "linux",
  }, () => {
    assert.throws(() => writeFileAtomic("/proc/preftune-test", "y"), /Cannot write \/proc\/preftune-test: /);
  });
});

describe("writeDirectoryAtomic", () => {
  const target = (): string => join(dir, "out");
  const fill =
    (text: string) =>
    (temp: string): void => {
      mkdirSync(join(temp, "sub"));
      writeFileSync(join(temp, "sub", "b"), text);
      writeFileSync(join(temp, "a"), text);
    };
  const content = (): string =>
    readFileSync(join(target(), "a"), "utf8") + readFileSync(join(target(), "sub", "b"), "utf8");

  test("makes a new directory, its parents, and fills an empty one", async () => {
    await writeDirectoryAtomic(join(dir, "x", "y"), fill("1"));
    assert.equal(readFileSync(join(dir, "x", "y", "a"), "utf8"), "1");
    mkdirSync(target());
    await writeDirectoryAtomic(target(), fill("2"));
    assert.equal(content(), "22");
    assert.deepEqual(readdirSync(dir), ["out", "x"]);
  });

  test("refuses an occupied target unless asked to replace", async () => {
    await writeDirectoryAtomic(target(), fill("1"));
    await assert.rejects(writeDirectoryAtomic(target(), fill("2")), /exists and is not empty.*kept as it is/);
    assert.equal(content(), "11");
    await writeDirectoryAtomic(target(), fill("2"), { replace: true });
    assert.equal(content(), "22");
    writeFileSync(join(dir, "file"), "x");
    await assert.rejects(
      writeDirectoryAtomic(join(dir, "file"), fill("2"), { replace: true }),
      /a file of that name/,
    );
    assert.deepEqual(readdirSync(dir).sort(), ["file", "out"]);
  });

  test("an error of the fill comes through unchanged and keeps the old directory", async () => {
    await writeDirectoryAtomic(target(), fill("1"));
    const failing = (temp: string): void => {
      writeFileSync(join(temp, "a"), "half");
      throw new RangeError("mine");
    };
    await assert.rejects(writeDirectoryAtomic(target(), failing, { replace: true }), new RangeError("mine"));
    assert.equal(content(), "11");
    assert.deepEqual(readdirSync(dir), ["out"]);
  });

  test("a link that cannot be made is about the directory, whatever it links to", async () => {
    const linking = (temp: string): void => {
      for (let i = 0; i < 2; i++) io.symlinkSync("/elsewhere", join(temp, "link"));
    };
    await assert.rejects(
      writeDirectoryAtomic(target(), linking),
      (error) => error instanceof FileError && error.message.startsWith(`Cannot write directory ${target()}`),
    );
  });

  test("every system call failing keeps the old directory or has all of the new", async () => {
    for (let n = 1, hit = true; hit; n++) {
      rmSync(target(), { recursive: true, force: true });
      await writeDirectoryAtomic(target(), fill("o"));
      const wasHit = failAt(n, "EIO");
      const error: unknown = await writeDirectoryAtomic(target(), fill("n"), { replace: true }).then(
        () => null,
        (reason: unknown) => reason,
      );
      Object.assign(io, realIo);
      hit = wasHit();
      const now = content();
      assert(now === "oo" || now === "nn", `call ${n}: ${now}`);
      if (error !== null) {
        assert(error instanceof FileError);
        assert.match(error.message, now === "oo" ? /before is untouched/ : /new content is in place/);
      } else {
        assert.equal(now, "nn");
      }
      recoverDirectory(target());
      assert.deepEqual(readdirSync(dir), ["out"], `call ${n}`);
      assert(n > 12 || hit, "the loop ended too early");
    }
  });

  test("recovers from a crash between the two renames", async () => {
    await writeDirectoryAtomic(target(), fill("o"));
    let renames = 0;
    Object.assign(io, realIo, {
      renameSync: (from: string, to: string) => {
        if (++renames > 1) throw systemError("EIO");
        realIo.renameSync(from, to);
      },
    });
    await assert.rejects(
      writeDirectoryAtomic(target(), fill("n"), { replace: true }),
      /The old content is complete in .*\.out\.old-/,
    );
    Object.assign(io, realIo);
    assert.equal(readdirSync(dir).length, 1);
    assert.equal(recoverDirectory(target()), true);
    assert.equal(content(), "oo");
    assert.equal(recoverDirectory(target()), false);
    assert.deepEqual(readdirSync(dir), ["out"]);
  });

  test("a killed process leaves a directory that recovers, in any state", async () => {
    // Pids end below 2^22 on Linux, so this process cannot exist.
    const tag = "99999999-0123abcd";
    await writeDirectoryAtomic(target(), fill("o"));
    mkdirSync(join(dir, `.out.new-${tag}`));
    mkdirSync(join(dir, `.out.old-${tag}`));
    mkdirSync(join(dir, ".out.new-mine"));
    const running = `.out.new-${process.pid}-0123abcd`;
    mkdirSync(join(dir, running));
    assert.equal(recoverDirectory(target()), false);
    assert.equal(content(), "oo");
    assert.deepEqual(readdirSync(dir).sort(), [".out.new-mine", running, "out"].sort());
  });

  test("follows a link to the directory, also while that is set aside", async () => {
    await writeDirectoryAtomic(target(), fill("o"));
    const link = join(dir, "link");
    symlinkSync("out", link);
    await writeDirectoryAtomic(link, fill("n"), { replace: true });
    assert.equal(content(), "nn");
    realIo.renameSync(target(), join(dir, ".out.old-1-0123abcd"));
    assert.equal(recoverDirectory(link), true);
    assert.equal(content(), "nn");
  });

  test("long names stay apart and fit", async () => {
    const [first, second] = [`${"n".repeat(240)}1`, `${"n".repeat(240)}2`];
    await writeDirectoryAtomic(join(dir, first), fill("1"));
    await writeDirectoryAtomic(join(dir, first), fill("1"), { replace: true });
    assert.equal(recoverDirectory(join(dir, second)), false);
    assert.deepEqual(readdirSync(dir), [first]);
  });
});

describe("a disk that is really full", () => {
  const isolate = ["-rm", "sh", "-c"];
  const probe = spawnSync("unshare", [...isolate, "mount -t tmpfs -o size=64k tmpfs /mnt"]);
  const skip = probe.status === 0 ? false : "mounting a small tmpfs is not permitted here";

  test("keeps the old file and directory and names path and bytes", { skip }, () => {
    const script = `
      const { mkdirSync, readFileSync, readdirSync, writeFileSync } = await import("node:fs");
      const { writeFileAtomic, writeDirectoryAtomic } = await import(${JSON.stringify(join(import.meta.dirname, "files.ts"))});
      const report = {};
      writeFileAtomic("/mnt/a", "old");
      try { writeFileAtomic("/mnt/a", "x".repeat(300_000)); } catch (e) { report.file = e.message; }
      mkdirSync("/mnt/d"); writeFileSync("/mnt/d/a", "old");
      const fill = (t) => writeFileSync(t + "/a", "x".repeat(300_000));
      await writeDirectoryAtomic("/mnt/d", fill, { replace: true }).catch((e) => { report.dir = e.message; });
      report.kept = readFileSync("/mnt/a", "utf8") + readFileSync("/mnt/d/a", "utf8");
      report.names = readdirSync("/mnt");
      writeFileAtomic("/mnt/a", "new");
      report.after = readFileSync("/mnt/a", "utf8");
      console.log(JSON.stringify(report));`;
    const result = spawnSync(
      "unshare",
      [
        ...isolate,
        'mount -t tmpfs -o size=64k tmpfs /mnt && exec "$0" --input-type=module -e "$1"',
        process.execPath,
        script,
      ],
      { encoding: "utf8" },
    );
    assert.equal(result.status, 0, result.stderr);
    const report = JSON.parse(result.stdout);
    assert.match(
      report.file,
      /Cannot write \/mnt\/a: the disk is full \(ENOSPC\), 300000 bytes .* untouched/,
    );
    assert.match(report.dir, /Cannot write directory \/mnt\/d: the disk is full \(ENOSPC\).* untouched/);
    assert.equal(report.kept, "oldold");
    assert.deepEqual(report.names, ["a", "d"]);
    assert.equal(report.after, "new");
  });
});

describe("sums and space", () => {
  test("SHA-256 of bytes, text and files", () => {
    // The published digest of "abc" (FIPS 180-2, appendix B.1).
    const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert.equal(sha256("abc"), abc);
    assert.equal(sha256(new Uint8Array([97, 98, 99])), abc);
    writeFileSync(join(dir, "f"), "abc");
    assert.equal(sha256File(join(dir, "f")), abc);
    const large = Buffer.alloc(9 * 1024 * 1024 + 5, 7);
    writeFileSync(join(dir, "g"), large);
    assert.equal(sha256File(join(dir, "g")), sha256(large));
    const beginning = hashOfFile(join(dir, "g"), 5 * 1024 * 1024)
      .update("abc")
      .digest("hex");
    assert.equal(beginning, sha256(Buffer.concat([large.subarray(0, 5 * 1024 * 1024), Buffer.from("abc")])));
    assert.throws(() => sha256File(join(dir, "none")), /Cannot read .*none: there is no such file/);
  });

  test("free space of a directory that does not exist yet, and the refusal", () => {
    const free = freeBytes(join(dir, "not", "yet"));
    assert(free > 0);
    requireFreeBytes(dir, 1, "a byte");
    assert.throws(
      () => requireFreeBytes(dir, 2 ** 50, "the checkpoint"),
      /Cannot write the checkpoint to .*: 1125899906842624 bytes \(1\.0 PiB\) are needed, \d+ bytes/,
    );
  });
});

describe("reading", () => {
  test("text without its byte order mark", () => {
    writeFileSync(join(dir, "t"), "\ufeffhé");
    assert.equal(readTextFile(join(dir, "t")), "hé");
  });

  test("missing, directory, not UTF-8", () => {
    assert.throws(() => readTextFile(join(dir, "none")), FileError);
    assert.throws(() => readTextFile(dir), /it is a directory, a file was expected/);
    writeFileSync(join(dir, "t"), new Uint8Array([0x68, 0xff]));
    assert.throws(() => readTextFile(join(dir, "t")), FormatError);
  });

  test("JSON and where it breaks", () => {
    const path = join(dir, "c.json");
    writeFileSync(path, '{"a": [1, 2]}');
    assert.deepEqual(readJsonFile(path), { a: [1, 2] });
    writeFileSync(path, '{\n  "a": 1,\n  oops\n}');
    assert.throws(() => readJsonFile(path), /c\.json:3:3: expected JSON/);
    writeFileSync(path, '{"a": 1,\n"b"');
    assert.throws(() => readJsonFile(path), /c\.json:2:4: expected JSON/);
  });
});

test("the digest of a small file takes no more memory than the file: that of many has no garbage collected", () => {
  const path = join(dir, "small");
  writeFileSync(path, "abc");
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 8; i++) sha256File(path);
  assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 20);
});
