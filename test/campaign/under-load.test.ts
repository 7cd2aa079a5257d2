/**
 * The tests that start processes and servers, ten times in a row while two other processes take all the time they get:
 * nothing may depend on an idle machine. PREFTUNE_LOAD_FILTERS names other tests, `.` all. PREFTUNE_LOAD_BESIDE says what
 * else keeps the machine busy, in place of the two processes. Clean rounds are kept with the commit, so that a campaign which
 * was stopped continues; a round that fails ends the row.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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

/** The clean rounds in a row on this code, with these tests and this load. */
class CleanRounds {
  readonly #file = join(root, ".preftune", "nightly", "under-load.rounds.json");
  readonly #what = JSON.stringify([process.env["PREFTUNE_COMMIT"], filters, load]);

  read(): string[] {
    try {
      const { what, rounds } = JSON.parse(readFileSync(this.#file, "utf8")) as {
        what: string;
        rounds: string[];
      };
      return what === this.#what && !what.includes("+") ? rounds : [];
    } catch {
      return [];
    }
  }

  write(rounds: readonly string[]): void {
    mkdirSync(join(this.#file, ".."), { recursive: true });
    writeFileSync(this.#file, JSON.stringify({ what: this.#what, rounds }));
  }

  forget(): void {
    rmSync(this.#file, { force: true });
  }
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
  const kept = new CleanRounds();
  const clean = kept.read();
  if (clean.length > 0) console.log(`${clean.length} clean rounds from before on this code`);
  let counts = clean.at(-1) ?? "";
  while (clean.length < rounds) {
    const { code, output } = await runSuite();
    counts = output.trimEnd().split("\n").at(-1) ?? "";
    console.log(`round ${clean.length + 1} of ${rounds}: ${counts}`);
    if (code !== 0) {
      kept.forget();
      console.log(output.slice(Math.max(0, output.indexOf("FAILED"))));
      break;
    }
    assert.match(counts, /^\d+ passed, \d+ failed$/);
    clean.push(counts);
    kept.write(clean);
  }
  const tests = filters.join(" ") === "." ? "the whole suite" : filters.join(" ");
  const what = `${tests} under load (${load ?? "two busy loops"}), ${rounds} times`;
  figure(17, what, `${clean.length} clean, the last ${counts}`, `${rounds} clean`, clean.length === rounds);
});
