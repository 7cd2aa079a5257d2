/** Trainings that torchrun, srun and Kubeflow start: who prints, stops by signals, restarts, ranks that are gone. */
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { after, suite, test } from "node:test";
import { readMetrics } from "../../src/runs/metrics.ts";
import type { Ended, Running } from "../support/command.ts";
import { compileGate, Gate } from "../support/gate.ts";
import {
  allEnded,
  childrenOf,
  freePort,
  placesOf,
  skipWithoutTorchrun,
  startRanks,
  startTorchrun,
} from "../support/rank-processes.ts";
import { metricsOf, runFixture, type Values } from "../support/runs.ts";

const fixture = runFixture({ rows: 40, held: 0 });
after(() => fixture[Symbol.dispose]());
const { threads: _, ...values } = fixture.values;

/** A run of 40 steps, saved each tenth, as a file. */
function runFile(name: string, more: Values = {}): string {
  const recipe: Values = { ...values, objective: "simpo", max_steps: 40, save_steps: 10, logging_steps: 1 };
  const rows: Values = {
    per_device_train_batch_size: 2,
    train_batch_size: 4,
    learning_rate: 1e-3,
    shard: "none",
  };
  const file = fixture.path(`${name}.yaml`);
  writeFileSync(file, JSON.stringify({ ...recipe, ...rows, output_dir: fixture.path(name), ...more }));
  return file;
}

const twoRanks = ["--standalone", "--nproc-per-node", "2"];

/** Lines of standard output that are about `what`. */
function linesOf({ stdout }: Pick<Ended, "stdout">, what: string): string[] {
  return stdout.split("\n").filter((line) => line.startsWith(`{"${what}"`));
}

/** Kills rank 1 of the run `name`, once step 12 is done; its process, and what was started. The run does not get past saving step 30 before. */
async function killedAtWork(name: string, options: readonly string[]): Promise<[number, Running]> {
  const gate = new Gate(fixture.path("."), name);
  const torchrun = startTorchrun(options, ["train", runFile(name)], gate.variables("checkpoint-30", 1));
  await torchrun.saw('"global_step":12');
  const pid = childrenOf(torchrun.child.pid ?? 0)[1] ?? assert.fail();
  process.kill(pid, "SIGKILL");
  gate.open();
  return [pid, torchrun];
}

/** The steps that the run has rows of metrics of. */
function stepsOf(name: string): number[] {
  return readMetrics(fixture.path(name, "metrics.jsonl")).map((row) => row.global_step);
}

/** Checks that each step of the run has the loss that it has in the undisturbed one, but for rounding. */
function assertLossesOfWhole(name: string): void {
  const [got, whole] = [name, "whole"].map((run) => readMetrics(fixture.path(run, "metrics.jsonl")));
  for (const [i, row] of (whole ?? []).entries()) {
    const far = Math.abs(Number(got?.[i]?.["loss"]) - Number(row["loss"]));
    assert.ok(far < 1e-4 * Math.abs(Number(row["loss"])), `step ${i + 1}: ${far}`);
  }
}

/** Resumes the run in this many processes, as their launcher would start them. */
async function resume(file: string, size: number): Promise<void> {
  const places = size === 1 ? [{}] : placesOf(size, await freePort());
  for (const { status, stderr } of await allEnded(startRanks(["train", file, "--resume"], places))) {
    assert.equal(status, 0, stderr);
  }
}

const skip = skipWithoutTorchrun();
const noGates = compileGate(fixture.path("."));

/** The agent ends with 1 after a signal, whatever its ranks do; under load torch's own threads aborted it once instead. */
function agentStatus(status: number | null, stderr: string): number | null {
  return status === null && stderr.includes("terminate called without an active exception") ? 1 : status;
}

// they wait for processes most of the time
suite("ranks", { concurrency: 3 }, () => {
  test("torchrun: rank 0 alone prints, threads are shared out", { skip }, async () => {
    const ended = await startTorchrun(twoRanks, ["train", runFile("whole")]).ended;
    assert.equal(ended.status, 0, ended.stderr);
    const starts = linesOf(ended, "start");
    assert.equal(starts.length, 1);
    const threads = Math.max(1, Math.floor(availableParallelism() / 2));
    assert.match(starts[0] ?? "", new RegExp(`"threads":${threads},`));
    assert.equal(linesOf(ended, "end").length, 1);
    assert.equal(linesOf(ended, "global_step").length, 40);
    assert.doesNotMatch(ended.stderr, /Gloo|c10d|TCPStore/);
  });

  test("torchrun --max-restarts: a rank that is killed is named, and the run gets the numbers of an undisturbed one", {
    skip: skip || noGates,
  }, async () => {
    const [pid, torchrun] = await killedAtWork("restarted", [...twoRanks, "--max-restarts", "1"]);
    const ended = await torchrun.ended;
    assert.equal(ended.status, 0, ended.stderr);
    assert.match(
      ended.stderr,
      new RegExp(`preftune: rank 1 \\(host \\S+, pid ${pid}\\) is gone, its process has ended; last at `),
    );
    assert.equal(linesOf(ended, "start").length, 2);
    assert.match(ended.stdout, /resumed from .*checkpoint-[123]0/);
    assert.deepEqual(metricsOf(fixture.path("restarted")), metricsOf(fixture.path("whole")));
  });

  test("torchrun: the others of a rank that is killed end with their own status, within seconds", {
    skip: skip || noGates,
  }, async () => {
    const [, torchrun] = await killedAtWork("killed", twoRanks);
    const { status, stderr } = await torchrun.ended;
    assert.equal(status, 1);
    assert.match(stderr, /Root Cause[\s\S]*rank +: 1 [\s\S]*exitcode +: -9 /);
    assert.doesNotMatch(stderr, /exitcode +: -15/);
    // nothing of a save that was broken off
    const left = readdirSync(fixture.path("killed", "checkpoints"));
    assert.match(left.join(), /^checkpoint-10(,checkpoint-[234]0)*$/);
  });

  for (const who of ["one rank", "the agent"]) {
    test(`SIGTERM at ${who}: all stop after the same step with one checkpoint, and resume on one process`, {
      skip: skip || noGates,
    }, async () => {
      const name = who.replace(" ", "-");
      const file = runFile(name);
      // held in its first save, so that the signal comes in time on any machine
      const gate = new Gate(fixture.path("."), name);
      const torchrun = startTorchrun(twoRanks, ["train", file], gate.variables("checkpoint-10", 1));
      await Promise.race([gate.met(), torchrun.ended]);
      const pid = childrenOf(torchrun.child.pid ?? 0)[1] ?? assert.fail();
      process.kill(who === "one rank" ? pid : (torchrun.child.pid ?? 0), "SIGTERM");
      if (who === "the agent") await torchrun.said("stopping all ranks after the same step");
      gate.open();
      const { status, stderr, stdout } = await torchrun.ended;
      assert.equal(agentStatus(status, stderr), who === "one rank" ? 0 : 1, stderr);
      const [, step] =
        /stopped after step (\d+); resume with:\n {2}.* --resume\n\(with the same launcher/.exec(stderr) ??
        [];
      assert.equal(stepsOf(name).at(-1), Number(step));
      assert.ok(readdirSync(fixture.path(name, "checkpoints")).includes(`checkpoint-${step}`));
      assert.equal(linesOf({ stdout }, "end").length, 1);
      assert.doesNotMatch(stderr, /exitcode/);
      await resume(file, 1);
      assertLossesOfWhole(name);
    });
  }

  test("variables of srun, Kubeflow and mpirun", async () => {
    const [port, mpiPort] = [String(await freePort()), String(await freePort())];
    const slurm = [0, 1].map((rank) => ({
      SLURM_JOB_ID: "17",
      SLURM_STEP_ID: "0",
      SLURM_PROCID: String(rank),
      SLURM_LOCALID: String(rank),
      SLURM_NTASKS: "2",
      SLURM_NTASKS_PER_NODE: "2",
      SLURM_STEP_NODELIST: "localhost",
      MASTER_PORT: port,
    }));
    // of a pod: no local rank
    const kubeflow = placesOf(2, await freePort()).map(({ LOCAL_RANK, LOCAL_WORLD_SIZE, ...place }) => place);
    const mpirun = [0, 1].map((rank) => ({
      OMPI_COMM_WORLD_RANK: String(rank),
      OMPI_COMM_WORLD_SIZE: "2",
      OMPI_COMM_WORLD_LOCAL_RANK: String(rank),
      OMPI_COMM_WORLD_LOCAL_SIZE: "2",
      MASTER_PORT: mpiPort,
    }));
    for (const [name, places] of Object.entries({ slurm, kubeflow, mpirun })) {
      const file = runFile(name, { max_steps: 3 });
      for (const { status, stderr } of await allEnded(startRanks(["train", file], places)))
        assert.equal(status, 0, stderr);
      assert.deepEqual(stepsOf(name), [1, 2, 3]);
    }
  });

  test("a process in the shell of salloc waits for nobody", async () => {
    const shell = { SLURM_JOB_ID: "17", SLURM_NTASKS: "2", SLURM_JOB_NODELIST: "localhost" };
    const [ended] = await allEnded(startRanks(["train", runFile("alone", { max_steps: 1 })], [shell]));
    assert.equal(ended?.status, 0, ended?.stderr);
  });
});
