/**
 * The tests that start processes and servers, ten times in a row while two other processes take all the time they get:
 * nothing may depend on an idle machine. PREFTUNE_LOAD_FILTERS names other tests, `.` all. PREFTUNE_LOAD_BESIDE says what
 * else keeps the machine busy, in place of the two processes.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { findTests } from "../../scripts/test-files.ts";
import { amount, figure, isNightly } from "../support/campaign.ts";

const root = join(import.meta.dirname, "../..");
const filters = (process.env["PREFTUNE_LOAD_FILTERS"] ?? "test/serve test/cli resume").split(" ");
const load = process.env["PREFTUNE_LOAD_BESIDE"];
const rounds = amount(0, Number(process.env["PREFTUNE_LOAD_ROUNDS"] ?? 10));

/** Processes that compute until disposed, or until this process is gone. */
function busyLoops(count: number): Disposable {
  const loops = Array.from({ length: count }, () =>
    spawn(process.execPath, ["-e", "const parent = process.ppid; while (process.ppid === parent);"], {
      stdio: "ignore",
    }),
  );
  return { [Symbol.dispose]: () => loops.forEach((loop: ChildProcess) => void loop.kill("SIGKILL")) };
}

/** One run of the tests, not nightly themselves; what it printed. */
async function runSuite(): Promise<{ code: number | null; output: string }> {
  const { PREFTUNE_NIGHTLY: _, PREFTUNE_FIGURES: __, NODE_TEST_CONTEXT: ___, ...env } = process.env;
  const args = [join(root, "scripts", "test.ts"), "--no-types", "--no-peers", ...filters];
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, output };
}

test("each filter names tests", () => {
  assert.deepEqual(
    filters.filter((filter) => findTests(root, [filter]).length === 0),
    [],
  );
});

test("under load", {
  skip: isNightly ? false : "runs the suite itself: nightly only",
}, async () => {
  using _ = busyLoops(load === undefined ? 2 : 0);
  let clean = 0;
  let counts = "";
  for (let round = 1; round <= rounds; round++) {
    const { code, output } = await runSuite();
    counts = output.trimEnd().split("\n").at(-1) ?? "";
    console.log(`round ${round} of ${rounds}: ${counts}`);
    if (code === 0) clean += 1;
    else console.log(output.slice(output.indexOf("FAILED")));
    assert.match(counts, /^\d+ passed, \d+ failed$/);
  }
  const tests = filters.join(" ") === "." ? "the whole suite" : filters.join(" ");
  const what = `${tests} under load (${load ?? "two busy loops"}), ${rounds} times`;
  figure(17, what, `${clean} clean, the last ${counts}`, `${rounds} clean`, clean === rounds);
});
