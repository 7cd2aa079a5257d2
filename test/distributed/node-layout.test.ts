/** `shard: node`: the ranks of a host share the model, gradients are added up across hosts. Hosts are network namespaces. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { after, test } from "node:test";
import { at } from "../../src/base/at.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import type { Ended } from "../support/command.ts";
import { Hosts, skipWithoutHosts } from "../support/hosts.ts";
import { plannedStep, stepOf } from "../support/planned-collectives.ts";
import { placesOn } from "../support/rank-processes.ts";
import { distanceOf, runFixture, runTraining, tensorsOf, type Values } from "../support/runs.ts";

const skip = skipWithoutHosts();
const fixture = runFixture({ family: "llama_untied", rows: 12, held: 3 });
after(() => fixture[Symbol.dispose]());

const recipe: Values = {
  ...fixture.values,
  use_peft: false,
  max_steps: 3,
  per_device_train_batch_size: 1,
  train_batch_size: 4,
  learning_rate: 1e-3,
  logging_steps: 1,
  eval_steps: 2,
  save_strategy: "steps",
  save_steps: 2,
};

/** Trains with `ranks[h]` ranks on host h. @param child - the program of a rank */
async function trainOnHosts(
  ranks: readonly number[],
  values: Values,
  child = "train-rank-child.ts",
): Promise<Ended[]> {
  using hosts = await Hosts.start(ranks.length);
  const hostOf = ranks.flatMap((count, host) => Array<number>(count).fill(host));
  const places = placesOn(hostOf, 29500, hosts.address(0));
  const started = places.map((place, rank) =>
    hosts.start(at(hostOf, rank), [`test/support/${child}`], { ...place, VALUES: JSON.stringify(values) }),
  );
  return await Promise.all(started.map(({ ended }) => ended));
}

test("two hosts with two ranks each: the numbers of one process, the collectives of the plan, a checkpoint of one of them", {
  skip,
}, async () => {
  const [alone, many] = [fixture.path("alone"), fixture.path("many")];
  await runTraining({ ...recipe, output_dir: alone });
  const values = { ...recipe, shard: "node", keep_gathered: false, output_dir: many };
  const ends = await trainOnHosts([2, 2], values, "record-rank-child.ts");
  assert.deepEqual(
    ends.map(({ status }) => status),
    [0, 0, 0, 0],
    ends.map(({ stderr }) => stderr).join("\n"),
  );
  const [own, , other] = ends.map(({ stdout }) => JSON.parse(stdout.trim().split("\n").at(-1) ?? ""));
  const layout = { shard: "node", keep_gathered: false, hosts: [2, 2], microBatches: 1 } as const;
  // the first ranks of both hosts have the same parts
  assert.deepEqual(stepOf(own), plannedStep(values, layout));
  assert.deepEqual(stepOf({ ...other, steps: own.steps }), stepOf(own));
  const [got, expected] = [many, alone].map((dir) => readMetrics(`${dir}/metrics.jsonl`));
  for (const key of ["loss", "grad_norm", "eval_loss"]) {
    for (const [i, row] of (expected ?? []).entries()) {
      if (row[key] === undefined) continue;
      const by = Math.abs(Number(got?.[i]?.[key]) - Number(row[key])) / Math.abs(Number(row[key]));
      assert.ok(by < 2e-6, `${key} differs by ${by}`);
    }
  }
  const file = "model/model.safetensors";
  const requireSame = () => {
    const far = distanceOf(tensorsOf(`${many}/${file}`), tensorsOf(`${alone}/${file}`));
    assert.ok(far < 1e-5, `weights differ by ${far}`);
  };
  requireSame();
  rmSync(`${many}/${file}`);
  const again = { ...recipe, output_dir: many, resume_from_checkpoint: "checkpoint-2" };
  const { summary } = await runTraining(again);
  assert.equal(summary.step, 3);
  requireSame();
});

test("hosts of unequal size are refused on every rank", { skip }, async () => {
  const ends = await trainOnHosts([2, 1], { ...recipe, shard: "node", output_dir: fixture.path("uneven") });
  for (const { status, stdout } of ends) {
    assert.equal(status, 2);
    assert.match(stdout, /shard: node needs equally many ranks on each host/);
  }
});
