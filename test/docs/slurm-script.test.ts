/** The batch script of docs/distributed.md, run with stand-ins for `srun` and `scontrol`: what it ends with, and when it is put back in the queue. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { snippetsOf } from "../support/snippets.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

const page = readFileSync(join(import.meta.dirname, "../../docs/distributed.md"), "utf8");
const script =
  snippetsOf(page, "sh").find((code) => code.startsWith("#!/bin/bash")) ?? assert.fail("no script");
const dir = temporaryDirectory();
after(() => dir[Symbol.dispose]());

/** Runs the script where `srun` ends with `status`. */
function ended(status: number): { status: number | null; started: string; requeued: string | null } {
  const [started, requeued] = [join(dir.path, `started ${status}`), join(dir.path, `requeued ${status}`)];
  const stub = (name: string, body: string) =>
    writeFileSync(join(dir.path, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  stub("srun", `echo "$@" > "${started}"; exit ${status}`);
  stub("scontrol", `echo "$@" > "${requeued}"`);
  const env = { PATH: `${dir.path}:${process.env["PATH"]}`, SLURM_JOB_ID: "4321" };
  const run = spawnSync("bash", [], { input: script, env, encoding: "utf8" });
  return {
    status: run.status,
    started: readFileSync(started, "utf8").trim(),
    requeued: existsSync(requeued) ? readFileSync(requeued, "utf8").trim() : null,
  };
}

for (const [status, requeued] of [
  [75, "requeue 4321"],
  [8, null],
  [0, null],
] as const) {
  test(`ranks that end with ${status}: the job ends so, ${requeued === null ? "for good" : "and is queued again"}`, () => {
    const started = "preftune train run.yaml --stopped-status 75";
    assert.deepEqual(ended(status), { status, started, requeued });
  });
}

test("the warning before the time limit goes to the ranks, not to the batch shell or srun", () => {
  // sbatch(1): without "B:" the job's steps are signalled, not the batch shell
  assert.match(script, /^#SBATCH .*--signal=TERM@\d+/m);
  assert.doesNotMatch(script, /\b(trap|kill)\b/);
});
