/**
 * `npm test [-- FILTER ...]`: type check, then every test file in a process of its own, two at a time.
 * The last line is the plain count. Filters are parts of paths. The files of test/campaign run in their short form.
 * Without filters the Python libraries that some tests compare with are installed first (`--no-peers`: they are not, and
 * those tests skip).
 */
import { spawnSync } from "node:child_process";
import { join, relative, resolve } from "node:path";
import { run } from "node:test";
import { parseArgs } from "node:util";
import { PreftuneError } from "../src/base/errors.ts";
import { ensurePeers } from "./python-peers.ts";
import { findTests } from "./test-files.ts";
import {
  addFile,
  addTest,
  fileLine,
  fileResult,
  newTestRun,
  summaryText,
  type TestEvent,
  type TestRun,
  totals,
} from "./test-summary.ts";

const root = join(import.meta.dirname, "..");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    "no-types": { type: "boolean", default: false },
    "no-peers": { type: "boolean", default: false },
  },
});

/** Without them the tests that compare with Python's libraries skip, each with its reason. */
async function installPeers(): Promise<void> {
  try {
    await ensurePeers({ bench: false, eval: true });
  } catch (error) {
    if (!(error instanceof PreftuneError)) throw error;
    process.stdout.write(
      `${error.message}\nThe tests that compare with Python's libraries are skipped. npm run peers -- --eval tries again.\n`,
    );
  }
}

function checkTypes(): boolean {
  const begin = Date.now();
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const { status } = spawnSync(process.execPath, [tsc, "-p", "."], { cwd: root, stdio: "inherit" });
  if (status === 0) process.stdout.write(`types in order (${((Date.now() - begin) / 1000).toFixed(1)} s)\n`);
  else process.stdout.write("The type check failed (above); no test was run.\n");
  return status === 0;
}

/** Prints a file's line once both its process has ended (the time) and its tests are reported (the counts). */
function fileLines(run: TestRun): (file: string, durationMs: number | null) => void {
  const halves = new Set<string>();
  return (file, durationMs) => {
    const result = fileResult(run, file);
    if (durationMs !== null) result.durationMs = durationMs;
    if (halves.has(file)) process.stdout.write(`${fileLine(result)}\n`);
    halves.add(file);
  };
}

async function runTests(files: string[]): Promise<boolean> {
  const results = newTestRun();
  const place = (path: string) => relative(root, path);
  const add = (event: TestEvent, passed: boolean) => {
    const file = place(event.file ?? event.name);
    if (event.nesting === 0 && resolve(root, event.name) === join(root, file))
      addFile(results, file, event, passed);
    else addTest(results, { ...event, file }, passed);
  };
  const halfDone = fileLines(results);
  const stream = run({
    files: files.map((file) => join(root, file)),
    concurrency: 2,
    cwd: root,
    timeout: 20 * 60_000,
  });
  stream.on("test:pass", (event) => add(event as TestEvent, true));
  stream.on("test:fail", (event) => add(event as TestEvent, false));
  stream.on("test:stdout", (event) => process.stdout.write(event.message));
  stream.on("test:stderr", (event) => process.stderr.write(event.message));
  stream.on("test:complete", (event) => {
    const isFile =
      event.nesting === 0 && event.file !== undefined && event.file === resolve(root, event.name);
    if (isFile) halfDone(place(event.name), event.details.duration_ms);
  });
  stream.on("test:summary", (event) => {
    if (event.file !== undefined) halfDone(place(event.file), null);
  });
  await new Promise((done) => {
    stream.on("end", done);
    stream.resume();
  });
  process.stdout.write(summaryText(results));
  const { passed, failed } = totals(results);
  return failed === 0 && passed > 0;
}

async function main(): Promise<number> {
  const filters = positionals;
  const files = findTests(root, filters);
  if (files.length === 0) {
    process.stderr.write(
      `expected test files whose path contains ${filters.join(" or ") || "anything"}, found none\n`,
    );
    return 2;
  }
  if (!values["no-types"] && !checkTypes()) return 1;
  const hasOwnPeers = (process.env["PREFTUNE_PEERS_PYTHON"] ?? "") !== "";
  if (filters.length === 0 && !values["no-peers"] && !hasOwnPeers) await installPeers();
  return (await runTests(files)) ? 0 : 1;
}

// two processes at a time on few cores: torch must not start a thread per core in each of them
process.env["OMP_NUM_THREADS"] ??= "1";
process.env["MKL_NUM_THREADS"] ??= "1";
process.exitCode = await main();
