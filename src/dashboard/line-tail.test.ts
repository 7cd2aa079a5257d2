/** The end of a growing file: new lines once, torn ones never, cut files again from their beginning. */
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { LineTail } from "./line-tail.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-tail-"));
after(() => rmSync(root, { recursive: true }));
let count = 0;
const fresh = (): string => join(root, `${++count}.jsonl`);

/** All that a tail gives until there is no more. */
function all(tail: LineTail): { lines: string[]; isRestart: boolean } {
  const lines: string[] = [];
  for (let isRestart = false; ; ) {
    const read = tail.read();
    isRestart ||= read.isRestart;
    lines.push(...read.lines);
    if (!read.isMore) return { lines, isRestart };
  }
}

test("new lines come once; a torn one when it is whole, also where it is torn inside a character", () => {
  const path = fresh();
  const tail = new LineTail(path);
  assert.deepEqual(all(tail), { lines: [], isRestart: false });
  writeFileSync(path, "a\nb");
  assert.deepEqual(all(tail), { lines: ["a"], isRestart: false });
  assert.deepEqual(all(tail), { lines: [], isRestart: false });
  const [head, rest] = [Buffer.from("ü").subarray(0, 1), Buffer.from("ü").subarray(1)];
  appendFileSync(path, head);
  assert.deepEqual(all(tail).lines, []);
  appendFileSync(path, Buffer.concat([rest, Buffer.from("\n")]));
  assert.deepEqual(all(tail), { lines: ["bü"], isRestart: false });
});

test("a file that was cut is read again, also where it has grown past the cursor since", () => {
  const path = fresh();
  const tail = new LineTail(path);
  writeFileSync(path, "1\n2\n3\n");
  all(tail);
  truncateSync(path, 2);
  assert.deepEqual(all(tail), { lines: ["1"], isRestart: true });
  writeFileSync(path, "1\n2\n3\n");
  assert.deepEqual(all(tail), { lines: ["2", "3"], isRestart: false });
  writeFileSync(path, "1\n2\nother\n4\n");
  assert.deepEqual(all(tail), { lines: ["1", "2", "other", "4"], isRestart: true });
  rmSync(path);
  assert.deepEqual(all(tail), { lines: [], isRestart: true });
});

test("another program goes on where the place says", () => {
  const path = fresh();
  writeFileSync(path, "1\n2\n");
  const first = new LineTail(path);
  all(first);
  appendFileSync(path, "3\n");
  assert.deepEqual(all(new LineTail(path, first.place)), { lines: ["3"], isRestart: false });
  writeFileSync(path, "x\ny\nz\n");
  assert.deepEqual(all(new LineTail(path, first.place)), { lines: ["x", "y", "z"], isRestart: true });
});

test("a long file comes in pieces, a line longer than a piece whole, and an unchanged file is not read", () => {
  const path = fresh();
  const long = "x".repeat(3_000_000);
  const short = Array.from({ length: 40_000 }, (_, i) => `${i} ${"y".repeat(50)}`);
  writeFileSync(path, `${[...short, long, "end"].join("\n")}\n`);
  const tail = new LineTail(path);
  const first = tail.read();
  assert.ok(first.isMore && first.lines.length < short.length, "a piece");
  assert.deepEqual([...first.lines, ...all(tail).lines], [...short, long, "end"]);
  // same size and time: taken for unchanged, which is what makes looking at it cheap
  const when = new Date(1e12);
  utimesSync(path, when, when);
  all(tail);
  writeFileSync(path, `${[...short, long, "END"].join("\n")}\n`);
  utimesSync(path, when, when);
  assert.deepEqual(all(tail), { lines: [], isRestart: false });
});
