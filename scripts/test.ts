/**
 * `npm test [-- FILTER ...]`: type check, then every test file in a separate process, some at a time.
 * The last line is the plain count. Filters are parts of paths. The files of test/campaign run in their short form.
 * Without filters the Python libraries that some tests compare with are installed first (`--no-peers`: they are not, and
 * those tests skip).
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { run } from "node:test";
import { parseArgs } from "node:util";
import { PreftuneError } from "../src/base/errors.ts";
import { ensurePeers } from "./python-peers.ts";
import { findTests } from "./test-files.ts";
import { report } from "./test-reporter.ts";

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
    await ensurePeers({ bench: false, eval: true, gguf: true, trackers: false });
  } catch (error) {
    if (!(error instanceof PreftuneError)) throw error;
    process.stdout.write(
      `${error.message}\nThe tests that compare with Python's libraries are skipped. npm run peers -- --eval --gguf tries again.\n`,
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

/** No test may take longer than this, in minutes. */
const limitMinutes = 20;

/** Files at a time: one more than two cores have, since many wait for the processes that they start. */
const concurrency = 3;

/** Runs the files, some at a time, until all ended, a signal came, or nothing ended for too long. */
async function runTests(files: string[]): Promise<boolean> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
    process.once(signal, () => {
      stop.abort();
      process.kill(process.pid, signal);
    });
  const events = run({
    files: files.map((file) => join(root, file)),
    concurrency,
    cwd: root,
    timeout: limitMinutes * 60_000,
    signal: stop.signal,
  });
  // node ends a test that hangs, but not a process that computes without end or never closes what it opened
  const minutes = limitMinutes + 1;
  const silence = new Error(`nothing ended in ${minutes} minutes`);
  const watch = setTimeout(() => stop.abort(silence), minutes * 60_000);
  events.on("test:complete", () => watch.refresh());
  const { passed, failed } = await report(events, root, (text) => process.stdout.write(text));
  clearTimeout(watch);
  return passed > 0 && failed === 0;
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

// several processes at a time on few cores: torch must not start a thread per core in each of them
process.env["OMP_NUM_THREADS"] ??= "1";
process.env["MKL_NUM_THREADS"] ??= "1";
process.exitCode = await main();
