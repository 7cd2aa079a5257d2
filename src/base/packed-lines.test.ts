/** Lines of gzip files of many members: of every size, with every header, cut and damaged. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { at } from "./at.ts";
import { FormatError } from "./errors.ts";
import { packedLines } from "./packed-lines.ts";
import { Random } from "./random.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-packed-lines-"));
after(() => rmSync(root, { recursive: true }));

function linesOf(...members: Uint8Array[]): string[] {
  const path = join(root, "file.gz");
  writeFileSync(path, Buffer.concat(members));
  return [...packedLines(path)];
}

/** `length` characters that gzip cannot make shorter by much. */
function noise(length: number, seed: number): string {
  const random = new Random(seed);
  return Array.from({ length }, () => String.fromCharCode(33 + random.below(90))).join("");
}

/** A member with all that its header may have: an extra field, a name, a comment, a checksum of itself. */
function withFields(text: string): Buffer {
  const plain = gzipSync(text);
  const fields = Buffer.from([...[3, 0, 7, 7, 7], ...Buffer.from("name\0comment\0"), ...[9, 9]]);
  const header = Buffer.from(plain.subarray(0, 10));
  header[3] = 0x04 | 0x08 | 0x10 | 0x02;
  return Buffer.concat([header, fields, plain.subarray(10)]);
}

test("members of all sizes and headers give their lines, also those that two share", () => {
  // around what is read at first, and several times that
  const texts = [1, 10, 65_000, 70_000, 400_000, 3, 150_000].map(noise);
  const all = texts.flatMap((text, i) => [text, `é ${i}`]);
  assert.deepEqual(linesOf(...texts.map((text, i) => gzipSync(`${text}\né ${i}\n`))), all);
  assert.deepEqual(linesOf(...texts.map((text, i) => withFields(`${text}\n\né ${i}\n`))), all);
  const whole = Buffer.from(`${all.join("\n")}\n`);
  const pieces = Array.from({ length: 40 }, (_, i) =>
    whole.subarray(Math.floor((i * whole.length) / 40), Math.floor(((i + 1) * whole.length) / 40)),
  );
  assert.deepEqual(linesOf(...pieces.map((piece) => gzipSync(piece))), all);
  assert.deepEqual(linesOf(gzipSync("a\nb\n"), gzipSync("c\nno end"), Buffer.alloc(100)), ["a", "b", "c"]);
  assert.deepEqual(linesOf(), []);
});

test("a file that is cut gives the lines that are complete; one that is damaged, those before and its place", () => {
  const [first, second] = [withFields(`${noise(300, 1)}\n`), gzipSync("second\n")];
  const all = [noise(300, 1), "second"];
  for (let length = 0; length <= first.length + second.length; length++) {
    const lines = linesOf(Buffer.concat([first, second]).subarray(0, length));
    assert.deepEqual(lines, all.slice(0, lines.length), `${length} bytes`);
    assert.ok(length < first.length || lines.length > 0, `${length} bytes`);
  }
  const damaged = Buffer.from(second);
  damaged[12] = at([...damaged], 12) ^ 1;
  for (const after of [damaged, Buffer.from("{}\n"), Buffer.concat([Buffer.alloc(9), second])]) {
    const path = join(root, "damaged.gz");
    writeFileSync(path, Buffer.concat([first, after]));
    const lines: string[] = [];
    assert.throws(
      () => {
        for (const line of packedLines(path)) lines.push(line);
      },
      (error) =>
        error instanceof FormatError &&
        error.message.includes(path) &&
        error.message.includes(` ${first.length} on`),
    );
    assert.deepEqual(lines, all.slice(0, 1));
  }
});
