/** The micro-batches of a rollout: which tokens are trained on, where they are cut, and that columns follow their completions. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Example } from "../data/example.ts";
import { packedTokens } from "../data/packing.ts";
import { ReplayRows, withReplayed } from "./replay-rows.ts";
import type { RolloutCompletion, RolloutGroup } from "./rollout.ts";
import { byCompletion, type RolloutPacking, rolloutBatches } from "./rollout-batches.ts";

const end = 2;

function completion(ids: number[], kept: Int32Array[] | null = null): RolloutCompletion {
  return { ids, ended: ids.at(-1) === end, logps: new Float32Array(ids.length), kept };
}

function group(index: number, promptIds: number[], completions: RolloutCompletion[]): RolloutGroup {
  return {
    index,
    example: { origin: { file: "rollout", line: index + 1 }, promptIds, completions: [] },
    completions,
  };
}

const groups = [
  group(
    4,
    [50, 51, 52],
    [[10, 11, end], [12, end], [13, 14, 15, 16], [end]].map((ids) => completion(ids)),
  ),
  group(
    9,
    [60, 61],
    [
      [20, 21, 22, 23],
      [24, 25, end],
      [26, end],
      [27, 28, 29, 30],
    ].map((ids) => completion(ids)),
  ),
];
const all = groups.flatMap(({ completions }) => completions);
/** What tells a completion, and each of its tokens, from all others. */
const columns = {
  advantages: all.map((_, i) => i),
  oldLogps: all.map(({ ids }) => Float32Array.from(ids)),
};
const packing: RolloutPacking = {
  ...{ per_device_train_batch_size: 8, max_tokens_per_micro_batch: null, share_prompt: true },
  ...{ mayCutGroups: true, mask_truncated_completions: false },
};

/** By completion, in order: what is trained on. */
function targetsOf(batches: ReturnType<typeof rolloutBatches>): number[][] {
  return batches.flatMap(({ packed }) =>
    packed.spans.map(({ start, end: last }) => Array.from(packed.targets.slice(start, last))),
  );
}

test("each token that was drawn is trained on, the end token with it; a completion that was cut has none", () => {
  const targets = targetsOf(rolloutBatches(groups, 0, columns, packing));
  assert.deepEqual(
    targets,
    all.map(({ ids }) => ids),
  );
});

test("completions without a gradient are apart, unless a prompt computed again costs more; what comes of them is in order", () => {
  const of = (...indices: number[]) => ({
    ...packing,
    withoutGradient: () => all.map((_, i) => indices.includes(i)),
  });
  const placesOf = (...indices: number[]) =>
    rolloutBatches(groups, 0, columns, of(...indices)).map(({ places, hasNoGradient = false }) => [
      hasNoGradient,
      [...places],
    ]);
  const none = placesOf();
  assert.deepEqual(none, [[false, [0, 1, 2, 3, 4, 5, 6, 7]]]);
  // a whole group, and of the other one four tokens, for whose backward pass a prompt of two is computed again
  assert.deepEqual(placesOf(0, 1, 2, 3, 4), [
    [true, [0, 1, 2, 3, 4]],
    [false, [5, 6, 7]],
  ]);
  // one token saves less than a prompt of three costs
  assert.deepEqual(placesOf(3), none);
  assert.deepEqual(placesOf(0, 1, 2, 3, 4, 5, 6, 7), none, "a step without any gradient decays moments");
  const batches = rolloutBatches(groups, 0, columns, of(0, 1, 2, 3, 4));
  const tokens = batches.map(({ columns: own }) => own?.["oldLogps"] as Float32Array);
  assert.deepEqual(
    byCompletion(batches, tokens).map((own) => [...own]),
    all.map(({ ids }) => ids),
  );
  // pairs need whole groups
  const whole = { ...of(0, 1, 2, 3, 4), mayCutGroups: false };
  assert.deepEqual(
    rolloutBatches(groups, 0, columns, whole).map(({ places }) => [...places]),
    [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ],
  );
});

test("masked: a completion that was cut keeps its place and its reward, and none of its tokens", () => {
  const [batch] = rolloutBatches(groups, 0, columns, { ...packing, mask_truncated_completions: true });
  assert.ok(batch !== undefined);
  const targets = targetsOf([batch]);
  assert.deepEqual(
    targets,
    all.map(({ ids, ended }) => (ended ? ids : [])),
  );
  assert.deepEqual(batch.columns?.["advantages"], [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(Array.from(batch.columns?.["oldLogps"] ?? []), targets.flat());
});

test("replayed: what a tool wrote in a good completion is read and not trained on, and columns have no place for it", () => {
  const row: Example = {
    origin: { file: "rows", line: 1 },
    promptIds: [70, 71],
    completions: [{ ids: [30, 31, 32, 33, end], mask: [1, 0, 0, 1, 1] }],
  };
  const replayed = new ReplayRows([row], { seed: 1, data_order: "given" }).groups(0, 1);
  const kept = [Int32Array.of(10, 11), Int32Array.of(2, 9)];
  const sampled = group(0, [50], [completion([11, end], kept)]);
  const own = { rewards: [1], samplerLogps: [Float32Array.of(-1, -2)] };
  const both = withReplayed(own, 1, replayed);
  const [batch] = rolloutBatches([sampled, ...replayed], 0, both, packing);
  assert.ok(batch !== undefined);
  assert.deepEqual(targetsOf([batch]), [
    [11, end],
    [30, 33, end],
  ]);
  assert.deepEqual(Array.from(batch.packed.ids.slice(-4)), [30, 31, 32, 33]);
  assert.deepEqual(Array.from(batch.columns?.["samplerLogps"] ?? []), [-1, -2, 0, 0, 0]);
  assert.deepEqual(batch.columns?.["replay"], [0, 1]);
  assert.deepEqual(batch.keptTokens, [...kept, null, null, null]);
});

for (const mayCutGroups of [true, false]) {
  for (const maxTokensPerMicroBatch of [null, 6, 9, 14, 1]) {
    for (const perDeviceTrainBatchSize of [1, 3, 4, 8]) {
      const how = {
        ...packing,
        mayCutGroups,
        max_tokens_per_micro_batch: maxTokensPerMicroBatch,
        per_device_train_batch_size: perDeviceTrainBatchSize,
      };
      const limits = `${perDeviceTrainBatchSize} completions, ${maxTokensPerMicroBatch ?? "any number of"} tokens`;
      test(`at most ${limits}, groups ${mayCutGroups ? "cut" : "whole"}: nothing is lost, columns follow`, () => {
        const batches = rolloutBatches(groups, 0, columns, how);
        assert.deepEqual(
          targetsOf(batches),
          all.map(({ ids }) => ids),
        );
        const advantages = batches.map(({ columns: own }) => Array.from(own?.["advantages"] ?? []));
        assert.deepEqual(advantages.flat(), [0, 1, 2, 3, 4, 5, 6, 7]);
        for (const [b, { packed, indices, columns: own = {} }] of batches.entries()) {
          // each one's advantage is its place
          const places = advantages[b] ?? [];
          assert.equal(places.length, packed.spans.length);
          assert.deepEqual(Array.from(own["oldLogps"] ?? []), Array.from(packed.targets));
          assert.deepEqual(indices, [...new Set(places.map((place) => (place < 4 ? 4 : 9)))]);
          const isOneUnit = mayCutGroups ? places.length === 1 : indices.length === 1;
          const tokens = packed.examples.reduce((sum, example) => sum + packedTokens(example), 0);
          assert.equal(tokens, packed.ids.length);
          assert.ok(isOneUnit || places.length <= perDeviceTrainBatchSize, `${places}`);
          assert.ok(isOneUnit || tokens <= (maxTokensPerMicroBatch ?? Number.POSITIVE_INFINITY));
          if (!mayCutGroups) assert.ok(places.length % 4 === 0, `${places}`);
        }
        // nothing is cut that would have fitted
        if (maxTokensPerMicroBatch === null && mayCutGroups) {
          assert.equal(batches.length, Math.ceil(8 / perDeviceTrainBatchSize));
        }
      });
    }
  }
}

test("the tokens that could be drawn stand beside those that are trained on, masked ones left out", () => {
  const kept = (ids: number[]) => ids.map((id) => Int32Array.of(id, id + 1));
  const filtered = groups.map((one) => ({
    ...one,
    completions: one.completions.map(({ ids }) => completion(ids, kept(ids))),
  }));
  for (const maskTruncatedCompletions of [false, true]) {
    const batches = rolloutBatches(
      filtered,
      0,
      {},
      { ...packing, mask_truncated_completions: maskTruncatedCompletions },
    );
    for (const { packed, keptTokens } of batches) {
      assert.deepEqual(
        keptTokens?.map((ids) => ids?.[0]),
        Array.from(packed.targets),
      );
    }
  }
});
