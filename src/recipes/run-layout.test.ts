/** Tests of run-layout.ts: what the ranks of a run choose together. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runFixture } from "../../test/support/runs.ts";
import { loadConfig } from "../config/load-config.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { everything } from "../planner/trained-parts.ts";
import { prepareData } from "../train/prepare-data.ts";
import { rowCost } from "./row-cost.ts";
import { layoutOfRun } from "./run-layout.ts";

interface Machine {
  memory: number;
  peaks: { float32: number; bfloat16: number };
}

/** A group of ranks that are like this one but for one of `memory` bytes. */
function groupOf(hosts: number[][], memory: number): Pick<RankGroup, "rank" | "size" | "hosts" | "gather"> {
  const gather = <T>(own: T): T[] => [own, { ...(own as Machine), memory } as T];
  return { rank: 0, size: hosts.flat().length, hosts, gather };
}

async function inputOf(values: Record<string, unknown>) {
  using fixture = runFixture({ rows: 12, held: 0 });
  const config = loadConfig({
    values: { ...fixture.values, output_dir: "unused", train_batch_size: 4, ...values },
  }).config;
  const { dataset } = await prepareData({ ...config, task: "preference" });
  const model = readModelConfig(config.model_name_or_path);
  // as wide as its gradients matter
  const wide = { ...model, hiddenSize: 1024, intermediateSize: 4096, vocabSize: 50_000 };
  const environment = { device: "cpu", dtype: "float32", threads: 1, matmul: "torch" } as const;
  const { examples } = dataset;
  const cost = rowCost(examples, wide, { trained: everything, share_prompt: config.share_prompt });
  return {
    config,
    model: wide,
    trained: everything,
    environment,
    examples,
    held: examples,
    cost,
    sampled: null,
  };
}

const gibibyte = 2 ** 30;

test("the rank with least memory decides for all", async () => {
  const input = await inputOf({});
  const roomy = layoutOfRun(groupOf([[0, 1]], 64 * gibibyte), input);
  assert.equal(roomy.fits, true);
  const narrow = layoutOfRun(groupOf([[0, 1]], 0.5 * gibibyte), input);
  assert.equal(narrow.shard, "all");
  const least = Math.min(...roomy.compared.map(({ costs }) => costs.memory));
  assert.ok(narrow.costs.memory === least);
  assert.match(narrow.reason, /shard: all, keep_gathered: .* of 512(\.0)? MiB a rank/);
});

test("what the configuration says is taken, fitting or not", async () => {
  const input = await inputOf({ shard: "none" });
  const chosen = layoutOfRun(groupOf([[0, 1]], 0.1 * gibibyte), input);
  assert.deepEqual([chosen.shard, chosen.fits], ["none", false]);
  const kept = await inputOf({ shard: "all", keep_gathered: true });
  const { shard, keep_gathered } = layoutOfRun(groupOf([[0, 1]], 64 * gibibyte), kept);
  assert.deepEqual([shard, keep_gathered], ["all", true]);
});

test("hosts of unequal size do not share within each", async () => {
  const input = await inputOf({ shard: "node" });
  assert.throws(
    () => layoutOfRun(groupOf([[0, 1], [2]], 64 * gibibyte), input),
    /shard: node needs equally many ranks on each host, got 2, 1/,
  );
});

test("ranks that share a model sample with all of it where that fits, else in lockstep", async () => {
  const input = await inputOf({ shard: "all", keep_gathered: false, use_peft: false });
  const sampled = { completions: 8, cachedTokens: 800, isAhead: false };
  const of = (memory: number, more = {}) =>
    layoutOfRun(groupOf([[0, 1]], memory), { ...input, sampled, ...more }).sampling;
  const roomy = of(64 * gibibyte);
  assert.equal(roomy?.way, "gathered");
  assert.match(roomy?.reason ?? "", /^each rank samples with the model gathered: .* of .* a rank\.$/);
  const narrow = of(0.5 * gibibyte);
  assert.equal(narrow?.way, "in lockstep");
  assert.match(
    narrow?.reason ?? "",
    /^ranks sample in lockstep, block by block: gathered the model would need .* of 512(\.0)? MiB/,
  );
  // what decides is all of the model beside a rank's parts, and the cache
  assert.equal(of(64 * gibibyte, { sampled: { ...sampled, cachedTokens: 1e9 } })?.way, "in lockstep");
  assert.equal(of(64 * gibibyte, { sampled: null }), null);
  assert.equal(
    layoutOfRun(groupOf([[0, 1]], 64 * gibibyte), { ...(await inputOf({ shard: "none" })), sampled })
      .sampling,
    null,
  );
});

test("ranks that share the model and choose a scale must each have room for all of it", async () => {
  const input = await inputOf({ final_scale: "auto", eval_fraction: 0.25 });
  const narrow = groupOf([[0, 1]], 0.5 * gibibyte);
  assert.throws(() => layoutOfRun(narrow, { ...input, config: { ...input.config, shard: "all" } }), {
    name: "ConfigError",
    message:
      /^shard: all: each rank trains a part .* takes \d.* of the 512(\.0)? MiB .* Set final_scale: 1, and choose afterwards .*preftune scale RUN\.$/,
  });
  const roomy = groupOf([[0, 1]], 64 * gibibyte);
  assert.equal(layoutOfRun(roomy, { ...input, config: { ...input.config, shard: "all" } }).shard, "all");
});
