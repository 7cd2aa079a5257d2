import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { nameOf } from "./campaign-results.ts";
import { findNightlyTests, matchesFilter } from "./test-files.ts";
import { type RunnerEvent, report, type TestEnd } from "./test-reporter.ts";

type Details = TestEnd["details"];

/** The end of a test, of src/a.test.ts unless said otherwise. */
function ended(name: string, more: Partial<TestEnd> = {}): RunnerEvent {
  const details = { passed: true, duration_ms: 1, type: "test" };
  return { type: "test:complete", data: { name, file: "/root/src/a.test.ts", nesting: 0, details, ...more } };
}

/** The end of a file's process. */
function fileEnded(file: string, details: Partial<Details> = {}): RunnerEvent {
  const path = `/root/${file}`;
  return ended(path, { file: path, details: { passed: true, duration_ms: 1234, ...details } });
}

function failing(message: string, failureType = "testCodeFailure", type = "test"): Details {
  const error = Object.assign(new Error("wrapper", { cause: new Error(message) }), { failureType });
  return { passed: false, type, duration_ms: 1, error };
}

/** What a file's process ended with, as the runner says it. */
function badEnd(more: {
  exitCode: number | null;
  signal: string | null;
  failureType?: string;
}): Partial<Details> {
  const error = Object.assign(new Error("test failed"), { failureType: "testCodeFailure", ...more });
  return { passed: false, error };
}

async function* streamOf(events: RunnerEvent[]): AsyncGenerator<RunnerEvent> {
  yield* events;
}

async function reported(events: RunnerEvent[]) {
  let text = "";
  const counts = await report(streamOf(events), "/root", (more) => {
    text += more;
  });
  return { counts, text };
}

test("passes, failures and skips are counted per file; suites are not", async () => {
  const { counts, text } = await reported([
    ended("one"),
    ended("suite", { details: { passed: true, type: "suite", duration_ms: 1 } }),
    ended("two", { details: failing("wrong sum") }),
    ended("outer", { details: failing("1 subtest failed", "subtestsFailed", "suite") }),
    ended("three", { skip: "no GPU" }),
    ended("four", { skip: "no GPU", file: "/root/src/b.test.ts" }),
    ended("later", { todo: true, details: failing("not yet") }),
    fileEnded("src/b.test.ts"),
    fileEnded("src/a.test.ts", badEnd({ exitCode: 1, signal: null, failureType: "subtestsFailed" })),
  ]);
  assert.deepEqual(counts, { passed: 1, failed: 1, skipped: 2, skips: new Map([["no GPU", 2]]), notes: [] });
  assert.match(text, /^ {3}1\.2 s {2}src\/b\.test\.ts {2}1 test, 1 skipped\n/);
  assert.match(text, /^ {3}1\.2 s {2}src\/a\.test\.ts {2}3 tests, 1 FAILED, 1 skipped$/m);
  assert.match(text, /^Skipped:\n {2}2 × no GPU$/m);
  assert.ok(text.endsWith("\n\n1 passed, 1 failed\n"));
});

test("a hook that fails is a failure of its suite", async () => {
  const { counts, text } = await reported([
    ended("one"),
    ended("suite", { details: failing("hook broke", "hookFailed", "suite") }),
  ]);
  assert.equal(counts.failed, 1);
  assert.match(text, /^FAILED src\/a\.test\.ts: suite\n {4}Error: hook broke$/m);
});

test("a file without tests fails, and so does one whose process ends badly", async () => {
  const { counts, text } = await reported([
    ended("one"),
    fileEnded("none.test.ts"),
    fileEnded("exit.test.ts", badEnd({ exitCode: 3, signal: null })),
    ended("before", { file: "/root/crash.test.ts" }),
    fileEnded("crash.test.ts", badEnd({ exitCode: null, signal: "SIGSEGV" })),
    fileEnded("hang.test.ts", {
      passed: false,
      error: Object.assign(new Error("nothing ended in 21 minutes"), { failureType: "testAborted" }),
    }),
  ]);
  assert.deepEqual(counts, { passed: 2, failed: 4, skipped: 0, skips: new Map(), notes: [] });
  assert.match(text, /^FAILED none\.test\.ts: the file itself\n {4}there is no test in this file$/m);
  assert.match(text, /^FAILED exit\.test\.ts: .*\n {4}the process of this file ended with status 3$/m);
  assert.match(text, /^FAILED crash\.test\.ts: .*\n {4}the process of this file was ended by SIGSEGV$/m);
  assert.match(text, /^FAILED hang\.test\.ts: .*\n {4}this file was ended: nothing ended in 21 minutes$/m);
  assert.ok(text.endsWith("\n\n2 passed, 4 failed\n"));
});

test("the closing line stands alone, after reasons and failures in full", async () => {
  const { text } = await reported([
    ended("fine"),
    ended("adds", { details: failing("expected 3, got 4") }),
    ended("gpu", { skip: true }),
  ]);
  assert.match(text, /^Skipped:\n {2}1 × no reason given$/m);
  assert.match(text, /^FAILED src\/a\.test\.ts: adds\n {4}Error: expected 3, got 4\n {8}at /m);
  assert.ok(text.endsWith("\n\n1 passed, 1 failed\n"));
});

test("what files print is passed on as it comes", async () => {
  const { text } = await reported([
    { type: "test:stdout", data: { message: "row 4\n" } },
    { type: "test:stderr", data: { message: "warning\n" } },
    ended("one"),
  ]);
  assert.ok(text.startsWith("row 4\nwarning\n"));
});

test("the ten slowest files are named when they take a second or more", async () => {
  const ends = Array.from({ length: 12 }, (_, i) => fileEnded(`f${i}.test.ts`, { duration_ms: 500 * i }));
  const { text } = await reported([ended("one"), ...ends]);
  const list = text.slice(text.indexOf("Slowest files:"), text.indexOf("FAILED f0.test.ts: the file itself"));
  const slow = [...list.matchAll(/f(\d+)\.test/g)].map((match) => Number(match[1]));
  assert.deepEqual(slow, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
});

test("filters are parts of paths", () => {
  assert.equal(matchesFilter("src/data/rows.test.ts", []), true);
  assert.equal(matchesFilter("src/data/rows.test.ts", ["./src/data"]), true);
  assert.equal(matchesFilter("src/data/rows.test.ts", ["text", "rows"]), true);
  assert.equal(matchesFilter("src/data/rows.test.ts", ["text"]), false);
});

test("the nightly run takes what has a longer form, each file with a name that no other has", () => {
  const files = findNightlyTests(join(import.meta.dirname, ".."), []);
  assert.ok(files.includes("test/package/packed.test.ts"));
  assert.ok(files.includes("test/campaign/kill-storm-1.test.ts"));
  assert.ok(!files.includes("test/package/package.test.ts"));
  assert.equal(new Set(files.map(nameOf)).size, files.length);
});

test("what a test reports of itself is written and kept; the runner's own counts are not", async () => {
  const { counts, text } = await reported([
    { type: "test:diagnostic", data: { message: "peak 12 MiB", file: "/root/src/a.test.ts" } },
    ended("one"),
    fileEnded("src/a.test.ts"),
    { type: "test:diagnostic", data: { message: "tests 1" } },
  ]);
  assert.deepEqual(counts.notes, ["peak 12 MiB"]);
  assert.match(text, /^peak 12 MiB\n/);
  assert.ok(!text.includes("tests 1"));
});

test("tests whose ends come after the end of their file's process, as under load, are counted", async () => {
  const { counts, text } = await reported([fileEnded("src/a.test.ts"), ended("one"), ended("two")]);
  assert.deepEqual(counts, { passed: 2, failed: 0, skipped: 0, skips: new Map(), notes: [] });
  assert.ok(text.endsWith("\n\n2 passed, 0 failed\n"));
});
