import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesFilter } from "./test-files.ts";
import {
  addFile,
  addTest,
  countsLine,
  fileLine,
  fileResult,
  newTestRun,
  summaryText,
  type TestEvent,
  totals,
} from "./test-summary.ts";

function event(name: string, more: Partial<TestEvent> = {}): TestEvent {
  return { name, file: "src/a.test.ts", nesting: 0, details: { type: "test", duration_ms: 1 }, ...more };
}

function failing(message: string, failureType = "testCodeFailure", type = "test"): TestEvent["details"] {
  const error: Error & { failureType?: string } = new Error("wrapper", { cause: new Error(message) });
  error.failureType = failureType;
  return { type, duration_ms: 1, error };
}

test("passes, failures and skips are counted per file; suites are not", () => {
  const run = newTestRun();
  addTest(run, event("one"), true);
  addTest(run, event("suite", { details: { type: "suite", duration_ms: 1 } }), true);
  addTest(run, event("two", { details: failing("wrong sum") }), false);
  addTest(run, event("outer", { details: failing("1 subtest failed", "subtestsFailed", "suite") }), false);
  addTest(run, event("three", { skip: "no GPU" }), true);
  addTest(run, event("four", { skip: "no GPU", file: "src/b.test.ts" }), true);
  addTest(run, event("later", { todo: true, details: failing("not yet") }), false);
  assert.deepEqual(totals(run), { passed: 1, failed: 1, skipped: 2 });
  assert.equal(fileResult(run, "src/b.test.ts").skipped, 1);
  assert.deepEqual([...run.skips], [["no GPU", 2]]);
});

test("a hook that fails is a failure of its suite", () => {
  const run = newTestRun();
  addTest(run, event("suite", { details: failing("hook broke", "hookFailed", "suite") }), false);
  assert.equal(totals(run).failed, 1);
});

test("a file without tests fails, and so does one whose process ends badly", () => {
  const run = newTestRun();
  const file = (error?: object) =>
    event("/x", { details: { duration_ms: 1, error: Object.assign(new Error(), error) } });
  addFile(run, "a.test.ts", file(), true);
  addFile(run, "b.test.ts", file({ exitCode: 3, signal: null }), false);
  addFile(run, "c.test.ts", file({ exitCode: null, signal: "SIGSEGV" }), false);
  assert.deepEqual(totals(run), { passed: 0, failed: 3, skipped: 0 });
  const reasons = run.failures.map((failure) => failure.error);
  assert.equal(reasons[0], "there is no test in this file");
  assert.match(reasons[1] ?? "", /ended with status 3$/);
  assert.match(reasons[2] ?? "", /ended by SIGSEGV$/);
});

test("the closing line stands alone, after reasons and failures in full", () => {
  const run = newTestRun();
  addTest(run, event("fine"), true);
  addTest(run, event("adds", { details: failing("expected 3, got 4") }), false);
  addTest(run, event("gpu", { skip: "no GPU" }), true);
  const text = summaryText(run);
  assert.match(text, /^Skipped:\n {2}1 × no GPU$/m);
  assert.match(text, /^FAILED src\/a\.test\.ts: adds\n {4}Error: expected 3, got 4$/m);
  assert.ok(text.endsWith("\n\n1 passed, 1 failed\n"));
});

test("lines of counts and of files", () => {
  assert.equal(countsLine({ passed: 3, failed: 0, skipped: 2 }), "3 passed, 0 failed");
  const counts = { passed: 1, failed: 1, skipped: 1 };
  assert.equal(
    fileLine({ file: "x.test.ts", durationMs: 1234, ...counts }),
    "   1.2 s  x.test.ts  3 tests, 1 FAILED, 1 skipped",
  );
});

test("the ten slowest files are named when they take a second or more", () => {
  const run = newTestRun();
  for (let i = 0; i < 12; i++) fileResult(run, `f${i}.test.ts`).durationMs = 500 * i;
  const slow = [...summaryText(run).matchAll(/f(\d+)\.test/g)].map((match) => Number(match[1]));
  assert.deepEqual(slow, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
});

test("filters are parts of paths", () => {
  assert.equal(matchesFilter("src/data/rows.test.ts", []), true);
  assert.equal(matchesFilter("src/data/rows.test.ts", ["./src/data"]), true);
  assert.equal(matchesFilter("src/data/rows.test.ts", ["text", "rows"]), true);
  assert.equal(matchesFilter("src/data/rows.test.ts", ["text"]), false);
});
