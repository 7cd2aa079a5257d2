/**
 * torchrun with agents that come and go: a run continues on the hosts that are left, and in the nightly run on more again, with the
 * numbers of one process.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { readMetrics } from "../../src/runs/metrics.ts";
import { isNightly } from "../support/campaign.ts";
import type { Running } from "../support/command.ts";
import { compileGate, Gate } from "../support/gate.ts";
import { Hosts, skipWithoutHosts } from "../support/hosts.ts";
import { allEnded, childrenOf, skipWithoutTorchrun, torchrunCommand } from "../support/rank-processes.ts";
import { runFixture, runTraining, type Values } from "../support/runs.ts";
import { scratch } from "../support/scratch.ts";
import { until } from "../support/signalled.ts";

const fixture = runFixture({ rows: 40, held: 0 });
const folder = mkdtempSync(join(scratch(), "preftune-elastic-"));
after(() => {
  fixture[Symbol.dispose]();
  rmSync(folder, { recursive: true });
});
const skip = skipWithoutTorchrun() || skipWithoutHosts() || compileGate(folder);

const recipe: Values = {
  ...fixture.values,
  objective: "simpo",
  max_steps: 40,
  save_steps: 10,
  logging_steps: 1,
  per_device_train_batch_size: 2,
  train_batch_size: 4,
  learning_rate: 1e-3,
  shard: "all",
};

/** Starts an agent with one rank on a host. */
function startAgent(hosts: Hosts, host: number, args: readonly string[], gate: Gate): Running {
  const rendezvous = `--rdzv-backend=c10d --rdzv-id=elastic --rdzv-endpoint=${hosts.address(0)}:29400`;
  // its own name resolves to 127.0.0.1: torchrun does not see by itself that the endpoint is here
  const soon = `--rdzv-conf=is_host=${host === 0},last_call_timeout=1`;
  const elastic = `--nnodes=1:4 --nproc-per-node=1 --max-restarts=3 --local-addr=${hosts.address(host)}`;
  const options = [...elastic.split(" "), ...rendezvous.split(" "), soon];
  return hosts.startAny(host, torchrunCommand(options, args), {
    ...gate.variables("/.checkpoint-20.", 1),
    LOGLEVEL: "INFO",
    // with a store of its own an agent of torch 2.13 never tells one that joins later where it is
    TORCH_DISABLE_SHARE_RDZV_TCP_STORE: "1",
  });
}

test("torchrun --nnodes=1:4: one of two hosts is gone, another comes: the same rows and numbers on 2, 1 and 2 ranks", {
  skip,
}, async () => {
  const whole = fixture.path("whole");
  await runTraining({ ...recipe, output_dir: whole });
  const dir = fixture.path("elastic");
  const file = fixture.path("elastic.yaml");
  writeFileSync(file, JSON.stringify({ ...recipe, output_dir: dir }));
  using hosts = await Hosts.start(2);
  // nobody gets past the saving of step 20 before one is killed; nightly the process that is left is held there until another host has come
  const gate = new Gate(folder, "alone");
  const first = startAgent(hosts, 0, ["train", file], gate);
  const second = startAgent(hosts, 1, ["train", file], gate);
  await Promise.race([first.saw('"global_step":12'), second.saw('"global_step":12')]);
  const pid = second.child.pid ?? 0;
  // where the first had begun alone, both are started again when the second has come
  await until(() => childrenOf(pid).length > 0, "the second agent has started its rank");
  for (const each of [...childrenOf(pid), pid]) process.kill(each, "SIGKILL");
  // where both had come to the gate already: the next that is held there is one that was started again
  gate.forgetMet();
  const left = [first];
  await first.saw("resumed from");
  if (!isNightly) gate.open();
  else {
    await gate.met();
    left.push(startAgent(hosts, 1, ["train", file], gate));
    await first.said("Detected 1 new nodes");
    gate.open();
  }
  const ends = await allEnded(left);
  for (const { status, stderr } of ends) assert.equal(status, 0, stderr);
  const printed = ends.map(({ stdout }) => stdout).join("");
  // 10, or where the first had begun alone the step at which it stopped for the second
  assert.match(printed, /resumed from .*checkpoint-1\d/);
  if (isNightly) assert.match(printed, /resumed from .*checkpoint-2\d/);
  const [got = [], expected = []] = [dir, whole].map((run) => readMetrics(join(run, "metrics.jsonl")));
  assert.deepEqual(
    got.map((row) => [row.global_step, row["num_tokens"]]),
    expected.map((row) => [row.global_step, row["num_tokens"]]),
  );
  for (const [i, row] of expected.entries()) {
    const far = Math.abs(Number(got[i]?.["loss"]) / Number(row["loss"]) - 1);
    assert.ok(far < 1e-6, `step ${i + 1}: ${far}`);
  }
});
