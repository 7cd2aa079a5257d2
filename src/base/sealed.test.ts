/** Every bit of a sealed file counts. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FormatError } from "./errors.ts";
import { readSealed, sealed } from "./sealed.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-sealed-"));
after(() => rmSync(root, { recursive: true }));
const path = join(root, "file.json");

const value = { version: 1, unread: null, text: "ä\u0000\n", nested: { list: [1, 2.5, "x"] } };

for (const [form, json] of [
  ["indented", JSON.stringify(value, null, 2)],
  ["on one line", JSON.stringify(value)],
] as const) {
  test(`an object is read back, and every flipped bit and every cut of it is noticed, ${form}`, () => {
    writeFileSync(path, sealed(json));
    assert.deepEqual(readSealed(path), value);
    assert.match(JSON.parse(readFileSync(path, "utf8")).sha256, /^[0-9a-f]{64}$/, "JSON for everybody");
    const whole = readFileSync(path);
    for (let bit = 0; bit < 8 * whole.length; bit++) {
      const bytes = Buffer.from(whole);
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
      writeFileSync(path, bytes);
      assert.throws(() => readSealed(path), FormatError, `bit ${bit}`);
    }
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length));
      assert.throws(() => readSealed(path), FormatError, `${length} bytes`);
    }
  });
}

test("files of earlier versions, without a digest, are read", () => {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);
  assert.deepEqual(readSealed(path), value);
  writeFileSync(path, `{"x":NaN}\n`);
  assert.deepEqual(
    readSealed(path, () => ({ x: 1 })),
    { x: 1 },
  );
  // a checkpoint's manifest of then ends in digests that are none of its own
  const files = [{ name: "weights", sha256: "0123456789abcdef".repeat(4) }];
  for (const manifest of [{ files }, { files, state: {} }]) {
    writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
    assert.deepEqual(readSealed(path), manifest);
  }
  for (const text of ["[]", "null", "3", '"x"']) {
    writeFileSync(path, text);
    assert.throws(() => readSealed(path), FormatError, text);
  }
});
