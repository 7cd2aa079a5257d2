/** Tests of flops.ts: small shapes counted by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { adapterWeights, attendedPairs, linearWeights, pairFlops, streamTokens } from "./flops.ts";
import { shapes } from "./shapes.ts";

const tiny = {
  layers: 2,
  width: 4,
  intermediate: 6,
  heads: 2,
  keyValueHeads: 1,
  headWidth: 2,
  vocabulary: 10,
};
const pair = { prompt: 3, chosen: 2, rejected: 4 };

test("linears of a layer: q 4·4, k and v 4·2 each, o 4·4, three of 4·6", () => {
  assert.equal(linearWeights(tiny), 2 * (16 + 8 + 8 + 16 + 72));
  assert.equal(adapterWeights(tiny, 1), 2 * (8 + 6 + 6 + 8 + 30));
});

test("a stream holds the prompt once and no answer's last token", () => {
  assert.equal(streamTokens(pair), 3 + 1 + 3);
});

test("attention: prompt 6, chosen 1 + 3, rejected 6 + 9", () => {
  assert.equal(attendedPairs(pair), 25);
});

test("full training: 6 a weight and token, head on 6 answer tokens, attention 12·H·E", () => {
  assert.equal(pairFlops(tiny, pair, 0), 6 * 240 * 7 + 6 * 40 * 6 + 12 * 4 * 2 * 25);
});

test("LoRA: 4 a frozen weight, 6 an adapter's", () => {
  assert.equal(pairFlops(tiny, pair, 1), 4 * 240 * 7 + 6 * 116 * 7 + 4 * 40 * 6 + 12 * 4 * 2 * 25);
});

test("the benchmark's models have the parameters they are named for", () => {
  const total = (name: string) => {
    const shape = shapes[name];
    assert.ok(shape !== undefined);
    const norms = shape.layers * (2 * shape.width + 2 * shape.headWidth) + shape.width;
    return linearWeights(shape) + shape.vocabulary * shape.width + norms;
  };
  assert.equal(Math.round(total("bench") / 1e5), 295);
  assert.equal(Math.round(total("bigvocab") / 1e5), 420);
});
