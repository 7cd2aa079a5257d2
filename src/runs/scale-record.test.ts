/** Tests of scale-record.ts: what is damaged is refused in words. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FormatError } from "../base/errors.ts";
import { readScales, type ScaleRecord, scalePath, writeScales } from "./scale-record.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-scales-"));
after(() => rmSync(dir, { recursive: true }));

const record: ScaleRecord = {
  pairs: 3,
  other_text: null,
  rows: [
    { scale: 0.5, figures: { margin: 0.25, drift: Number.NaN }, answers: [{ prompt: "a", answer: "b" }] },
  ],
  choice: null,
};
const path = scalePath(dir);
const refused = (error: unknown): boolean =>
  error instanceof FormatError &&
  error.message.startsWith(path) &&
  error.message.endsWith(
    ` Measure again (preftune scale ${dir}), or remove the file: then the report has no scales.`,
  );

test("a record is read as it was written, that of an earlier version too", () => {
  assert.equal(readScales(dir), null);
  writeScales(dir, record);
  assert.deepEqual(readScales(dir), record);
  writeFileSync(path, '{"pairs":3,"other_text":null,"rows":[],"choice":null}\n');
  assert.equal(readScales(dir)?.pairs, 3);
});

test("a changed bit anywhere, and a record that is cut, are refused with what to do", () => {
  writeScales(dir, record);
  const whole = readFileSync(path);
  for (let at = 0; at < whole.length; at++) {
    const bytes = Buffer.from(whole);
    bytes[at] = (bytes[at] as number) ^ 1;
    writeFileSync(path, bytes);
    assert.throws(() => readScales(dir), refused, `byte ${at}`);
  }
  for (let length = 0; length < whole.length - 1; length++) {
    writeFileSync(path, whole.subarray(0, length));
    assert.throws(() => readScales(dir), refused, `${length} bytes`);
  }
});

test("another record is refused", () => {
  const others = [
    "[]",
    "null",
    "{}",
    '{"rows":[null]}',
    '{"rows":[{"scale":1}]}',
    '{"rows":[{"scale":"1","figures":{},"answers":[]}]}',
  ];
  for (const text of others) {
    writeFileSync(path, text);
    assert.throws(() => readScales(dir), refused, text);
  }
});
