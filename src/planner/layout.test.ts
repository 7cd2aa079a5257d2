/** Tests of layouts: memory, bytes and tokens against figures worked out beside, and the choice. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseModelConfig } from "../formats/hf-config.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import type { PlannedNumerics } from "./activations.ts";
import {
  type Cluster,
  chooseLayout,
  hidingTokens,
  type Layout,
  type LayoutCosts,
  stepSeconds,
  trafficOf,
} from "./layout.ts";
import { countParameters } from "./parameter-counts.ts";
import { shardBytes, shardedMoments } from "./sharded-memory.ts";
import { adapterParts, everything, type TrainedParts } from "./trained-parts.ts";

function llama(shape: readonly number[], tied: boolean = false): ModelConfig {
  const [numHiddenLayers, hiddenSize, intermediateSize, numAttentionHeads] = shape;
  const json = {
    ...{
      model_type: "llama",
      num_hidden_layers: numHiddenLayers,
      hidden_size: hiddenSize,
      intermediate_size: intermediateSize,
      num_attention_heads: numAttentionHeads,
    },
    ...{ num_key_value_heads: 8, vocab_size: 128_256, tie_word_embeddings: tied },
  };
  return parseModelConfig(json, "config.json");
}

const llama8b = llama([32, 4096, 14_336, 32]);
const llama70b = llama([80, 8192, 28_672, 64]);
const gpu: PlannedNumerics = { dtype: "bfloat16", onGpu: true };

/** What a layout is planned from, with the counts of parameters. */
function unitsOf(model: ModelConfig, trained: TrainedParts = everything, numerics = gpu) {
  return { model, trained, numerics, hasLiveReference: false, counts: countParameters(model, trained) };
}

function lora(model: ModelConfig, rank: number): TrainedParts {
  const adapter = { rank, targets: "all-linear", targetModules: [], rankPattern: {} };
  return adapterParts(model, { ...adapter, modulesToSave: [], dropout: 0, useDora: false });
}

const gibibyte = 2 ** 30;

/** Agreement with a figure that is given in whole GiB. */
function near(bytes: number, gib: number): void {
  const got = bytes / gibibyte;
  assert.ok(Math.abs(got - gib) <= Math.max(0.75, 0.03 * gib), `${got.toFixed(1)} GiB, expected ${gib}`);
}

test("full tuning: masters, averages and gradients are 16 bytes a parameter over the ranks", () => {
  const published = [
    [llama8b, [2, 60], [4, 30], [8, 15]],
    [llama70b, [16, 66], [32, 33], [64, 16]],
  ] as const;
  for (const [model, ...figures] of published) {
    const units = unitsOf(model);
    for (const [ranks, gib] of figures) {
      const { weights, optimiser } = shardBytes(units, { ranks, keep_gathered: false });
      // besides, each rank keeps what it gives to a gathering
      const given = (2 * units.counts.total) / ranks;
      near(weights - given + optimiser + (4 * units.counts.trained) / ranks, gib);
    }
  }
});

test("LoRA of rank 64 on 70B: the shared base, and two gathered blocks", () => {
  const units = unitsOf(llama70b, lora(llama70b, 64));
  for (const [ranks, gib] of [
    [4, 39],
    [8, 21],
    [16, 12],
  ] as const) {
    const shards = { ranks, keep_gathered: false };
    const { weights, optimiser } = shardBytes(units, shards);
    const { gathered } = shardedMoments(units, shards, true).lastBack;
    near(weights + optimiser + (4 * units.counts.trained) / ranks + gathered, gib);
  }
});

test("kept blocks are the whole model in the activations' type", () => {
  const units = unitsOf(llama8b);
  const kept = shardedMoments(units, { ranks: 8, keep_gathered: true }, false).lastBack.gathered;
  near(kept, (2 * 32 * 218.1e6) / gibibyte);
});

function clusterOf(hosts: number[]): Cluster {
  return { hosts, inside: 300e9, link: 50e9 };
}

/** Micro-batch tokens from which communication is hidden, at 400 TFLOP/s. */
function hidden(bytesPerParameter: number, flopsPerParameter: number, bandwidth: number): number {
  const work = { flopsPerToken: flopsPerParameter, flopsPerSecond: 4e14 };
  return Math.round(hidingTokens(bytesPerParameter, bandwidth, work));
}

test("tokens that hide communication: 2 + 2 + 4 bytes against 8 FLOPs a parameter in full, 2 + 2 against 6 under LoRA", () => {
  assert.deepEqual(
    [300e9, 50e9, 12.5e9].map((bandwidth) => hidden(8, 8, bandwidth)),
    [1333, 8000, 32_000],
  );
  assert.deepEqual(
    [300e9, 50e9, 12.5e9].map((bandwidth) => hidden(4, 6, bandwidth)),
    [889, 5333, 21_333],
  );
});

test("bytes of a micro-batch: blocks gathered twice and their gradients, at many ranks 8 a parameter, kept 6", () => {
  const cluster = clusterOf([1024]);
  const units = unitsOf(llama70b);
  const sent = (keep_gathered: boolean) => {
    const { gathered, exchanged } = trafficOf(units, { shard: "all", keep_gathered }, cluster);
    return (gathered + exchanged) / units.counts.total;
  };
  assert.ok(Math.abs(sent(false) - 8) < 0.1, `${sent(false)}`);
  assert.ok(Math.abs(sent(true) - 6) < 0.1, `${sent(true)}`);
});

test("float32, tied: at most 3 and 2 times the weights' bytes, less a rank's own part", () => {
  const small = llama([4, 512, 2048, 8], true);
  const units = unitsOf(small, everything, { dtype: "float32", onGpu: false });
  for (const ranks of [2, 3, 4]) {
    const bound = (4 * units.counts.total * (ranks - 1)) / ranks;
    for (const [keepGathered, times] of [
      [false, 3],
      [true, 2],
    ] as const) {
      const { gathered, exchanged, added } = trafficOf(
        units,
        { shard: "all", keep_gathered: keepGathered },
        clusterOf([ranks]),
      );
      assert.equal(added, 0);
      assert.ok(gathered + exchanged <= times * bound * 1.001);
      assert.ok(gathered + exchanged > 0.6 * times * bound);
    }
  }
});

test("none adds all gradients up; node adds a host's part up across hosts", () => {
  const units = unitsOf(llama8b);
  const gradients = 4 * units.counts.trained;
  const cluster = clusterOf([8, 8]);
  const none = trafficOf(units, { shard: "none", keep_gathered: true }, cluster);
  assert.deepEqual(none, { gathered: 0, exchanged: 0, added: (2 * gradients * 15) / 16 });
  const node = trafficOf(units, { shard: "node", keep_gathered: true }, cluster);
  // rank 0 has matrices alone, the last rank of a unit its vectors, which take twice the bytes of a part
  assert.ok(Math.abs(node.added / ((2 * (gradients / 8)) / 2) - 1) < 1e-4);
  assert.equal(node.exchanged, (gradients * 7) / 8);
});

test("a step's time: the longer of computing and passing in each micro-batch, then what is added up", () => {
  const cluster = clusterOf([8, 8]);
  const traffic = { gathered: 60e9, exchanged: 40e9, added: 25e9 };
  const work = { microBatchSeconds: 1, microBatches: 3 };
  const timed = (shard: Layout["shard"]) =>
    stepSeconds(traffic, { shard, keep_gathered: false }, { work, cluster });
  assert.equal(timed("all"), 3 * 2 + 0.5);
  assert.equal(timed("node"), 3 * 1 + 0.5);
});

const bytes = { gathered: 0, exchanged: 0, added: 0 };
/** Costs by layout: "all false" → [memory, seconds]. */
function costsOf(table: Readonly<Record<string, [memory: number, seconds: number]>>) {
  return ({ shard, keep_gathered }: Layout): LayoutCosts => {
    const [memory, seconds] = table[shard === "none" ? shard : `${shard} ${keep_gathered}`] ?? [1e12, 1e3];
    return { memory, stepSeconds: seconds, traffic: bytes };
  };
}
const auto = { shard: "auto", keep_gathered: "auto" } as const;

test("auto takes the fastest that fits, of equally fast ones the simplest, and says why", () => {
  const cluster = clusterOf([8, 8]);
  const choose = (table: Parameters<typeof costsOf>[0], wanted: { shard: Layout["shard"] | "auto" } = auto) =>
    chooseLayout({ wanted: { ...auto, ...wanted }, cluster, usable: 100, costsOf: costsOf(table) });
  const even = choose({ none: [90, 2], "node true": [50, 1.99], "all true": [40, 2.5] });
  assert.equal(even.shard, "none");
  const table: Parameters<typeof costsOf>[0] = {
    ...{ none: [120, 1], "node true": [101, 1.2], "node false": [60, 1.5] },
    ...{ "all true": [90, 3], "all false": [20, 4] },
  };
  const chosen = choose(table);
  assert.deepEqual([chosen.shard, chosen.keep_gathered, chosen.fits], ["node", false, true]);
  assert.match(chosen.reason, /shard: node, keep_gathered: false is the fastest that fits: 1\.5 s a step/);
  assert.match(chosen.reason, /shard: none would need 120 bytes/);
  assert.match(chosen.reason, /shard: all, keep_gathered: true: 3(\.0)? s/);
  const wanted = choose(table, { shard: "all" });
  assert.deepEqual([wanted.shard, wanted.keep_gathered], ["all", true]);
  const none = choose(table, { shard: "none" });
  assert.equal(none.fits, false);
  assert.match(none.reason, /shard: none does not fit: 120 bytes of 100 bytes a rank/);
  const least = choose({ none: [900, 1], "all false": [101, 9], "all true": [500, 8] });
  assert.deepEqual([least.shard, least.keep_gathered], ["all", false]);
  assert.match(least.reason, /does not fit: .*; the others need no less/);
});

test("hosts of unequal size cannot share the model within each; auto leaves that out", () => {
  const question = { cluster: clusterOf([8, 4]), usable: 100, costsOf: costsOf({}) };
  assert.throws(
    () => chooseLayout({ ...question, wanted: { shard: "node", keep_gathered: "auto" } }),
    /shard: node needs equally many ranks on each host, got 8, 4\. .*shard: all/,
  );
  const { compared } = chooseLayout({ ...question, wanted: auto });
  assert.deepEqual(
    compared.map(({ shard }) => shard),
    ["none", "all", "all"],
  );
});

test("one rank a host: sharing within a host would be none", () => {
  const { compared } = chooseLayout({
    ...{ wanted: auto, cluster: clusterOf([1, 1, 1]), usable: 100, costsOf: costsOf({}) },
  });
  assert.ok(compared.every(({ shard }) => shard !== "node"));
});
