/** Files of tokenised rows: what comes back, and that no other file is taken for one. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { FormatError } from "../base/errors.ts";
import { Random } from "../base/random.ts";
import type { Example } from "./example.ts";
import { preflight } from "./preflight.ts";
import { digestBytes, type RowFile, type StoredBytes } from "./row-file.ts";
import { readRowFile } from "./row-file-read.ts";
import { rowFileBytes } from "./row-file-write.ts";

const fingerprint = "ab".repeat(32);
const expected = { path: "x.rows", fingerprint, vocabSize: 300 };

const examples: Example[] = [
  {
    origin: { file: "a.jsonl", line: 1 },
    promptIds: [1, 2, 299],
    completions: [{ ids: [3] }, { ids: [4, 5] }],
  },
  {
    origin: { file: "b.jsonl", line: 2 ** 40 },
    promptIds: [7],
    completions: [{ ids: [8, 9, 10], mask: [0, 1, 1] }],
    margin: 0.1,
    referenceLogps: [-1.5, -1e-300],
    trace: { notes: ["turn_rewritten"], promptTokensCut: 3, promptKey: "é" },
  },
  { origin: { file: "a.jsonl", line: 2 }, promptIds: [], completions: [] },
];
const facts = {
  vocabSize: 300,
  bosTokenId: null,
  stopIds: new Set([2]),
};

/** A file with so many held-out rows; null: none were asked for. */
function rowFile(held: number | null): RowFile {
  const evalExamples = held === null ? null : examples.slice(0, held);
  const report = preflight(examples, evalExamples, facts);
  const dataset = { examples, evalExamples, report, fingerprint: "f" };
  const templates = [{ family: null, hash: "h", origin: "o", rows: 3 }];
  return { dataset, textFingerprint: "t", templates, stopIds: [2, 5] };
}

function written(file: RowFile): Buffer {
  const pieces: Buffer[] = [];
  // a piece is good until the next is asked for
  for (const piece of rowFileBytes(fingerprint, file)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

function stored(bytes: Uint8Array): StoredBytes {
  return {
    size: bytes.length,
    read: (from, into) => {
      assert.ok(from >= 0 && from + into.length <= bytes.length, "no read beyond the file");
      into.set(bytes.subarray(from, from + into.length));
    },
  };
}

/** The file with another byte at a place, its digest made right. */
function changed(bytes: Buffer, place: number, value: number): Buffer {
  const other = Buffer.from(bytes);
  other[place] = value;
  const end = other.length - digestBytes;
  createHash("sha256").update(other.subarray(0, end)).digest().copy(other, end);
  return other;
}

for (const held of [null, 0, 2]) {
  test(`what was written comes back, with ${held} held-out rows`, () => {
    const file = rowFile(held);
    const read = readRowFile(stored(written(file)), expected);
    // getters become values
    assert.deepEqual(structuredClone(read), JSON.parse(JSON.stringify(file)));
    assert.deepEqual(
      read.dataset.examples.map(({ promptIds }) => promptIds.length),
      [3, 1, 0],
    );
  });
}

test("what rewards are given comes back: BigInts, dates, bytes, NaN, and keys that look like those that stand for them", () => {
  const columns = {
    id: 12345678901234567890n,
    list: [{ at: new Date(1.7e12), image: Uint8Array.of(1, 2, 255) }, [-(2n ** 64n)], Number.NaN, 2.5],
    "preftune:integer": "7",
    deep: { "preftune:preftune:date": { "preftune:bytes": null } },
  };
  const row: Example = {
    ...{ origin: { file: "a", line: 1 }, promptIds: [1], completions: [] },
    reward: { prompt: "a", columns },
  };
  const file = rowFile(null);
  const { dataset } = readRowFile(
    stored(written({ ...file, dataset: { ...file.dataset, examples: [row] } })),
    expected,
  );
  assert.deepEqual(dataset.examples[0]?.reward, { prompt: "a", columns });
});

test("rows longer than a piece of the file", () => {
  const random = new Random(1);
  const ids = (count: number) => Array.from({ length: count }, () => Math.floor(300 * random.next()));
  const long = {
    promptIds: ids(300_001),
    completions: [{ ids: ids(5), mask: [0, 1, 0, 1, 1] }, { ids: ids(270_000) }],
  };
  const row = { origin: { file: "a", line: 1 }, ...long };
  const file = rowFile(null);
  const bytes = written({ ...file, dataset: { ...file.dataset, examples: [row, ...examples] } });
  const { dataset } = readRowFile(stored(bytes), expected);
  assert.deepEqual(structuredClone(dataset.examples), [row, ...examples]);
});

test("a file that is cut short anywhere, or has one other bit, is refused", () => {
  const bytes = written(rowFile(2));
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => readRowFile(stored(bytes.subarray(0, length)), expected), FormatError);
  }
  assert.throws(() => readRowFile(stored(Buffer.concat([bytes, Buffer.alloc(8)])), expected), FormatError);
  for (let place = 0; place < bytes.length; place++) {
    const other = Buffer.from(bytes);
    other[place] = (other[place] ?? 0) ^ (1 << (place % 8));
    assert.throws(() => readRowFile(stored(other), expected), FormatError, `byte ${place}`);
  }
});

function assertInOrder(rows: readonly Example[]): void {
  for (const { promptIds, completions, origin } of rows) {
    assert.equal(typeof origin.file, "string");
    for (const { ids, mask = null } of [{ ids: promptIds }, ...completions]) {
      assert.ok(ids.every((id) => id >= 0 && id < 300));
      assert.ok(mask === null || mask.length === ids.length);
    }
  }
}

test("a file made to harm, whose digest is right, gives rows that are in order or is refused by name", () => {
  const bytes = written(rowFile(2));
  let refused = 0;
  for (let place = 0; place < bytes.length - digestBytes; place++) {
    for (const value of [0xff, (bytes[place] ?? 0) ^ 1]) {
      try {
        const { dataset } = readRowFile(stored(changed(bytes, place, value)), expected);
        assertInOrder([...dataset.examples, ...(dataset.evalExamples ?? [])]);
      } catch (error) {
        assert.ok(error instanceof FormatError, `byte ${place} as ${value}: ${(error as Error).stack}`);
        assert.match(error.message, /^x\.rows/);
        refused++;
      }
    }
  }
  assert.ok(refused > 1000, `${refused} refused`);
});

test("rows of another fingerprint, of a smaller vocabulary, and a later version are refused", () => {
  const bytes = written(rowFile(null));
  const read =
    (more: Partial<typeof expected>, of = bytes) =>
    () =>
      readRowFile(stored(of), { ...expected, ...more });
  assert.throws(read({ fingerprint: "cd".repeat(32) }), /its rows are others/);
  assert.throws(read({ vocabSize: 299 }), /a token is beyond the vocabulary/);
  assert.throws(read({}, changed(bytes, 16, 2)), /it is of version 2, not 1\. Remove it/);
});
