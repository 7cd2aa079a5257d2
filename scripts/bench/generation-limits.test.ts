/** Tests of generation-limits.ts: figures by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { limitsText, sequenceFlops } from "./generation-limits.ts";
import { modelConfigOf, shapes } from "./shapes.ts";

test("FLOPs of a prompt and of what is decoded behind it", () => {
  const shape = shapes["bench"];
  assert.ok(shape);
  const config = modelConfigOf(shape);
  const { hiddenSize: d, intermediateSize: f, numHeads, numKeyValueHeads, headDim, vocabSize } = config;
  const numLayers = config.layerKinds.length;
  const block = d * headDim * (2 * numHeads + 2 * numKeyValueHeads) + 3 * d * f;
  const attention = (pairs: number) => 4 * numHeads * headDim * pairs;
  // 3 tokens of prompt look at 1, 2, 3; the first new token at 4, the second at 5
  const { prompt, decoding } = sequenceFlops(config, { promptTokens: 3, newTokens: 3 });
  assert.equal(prompt, numLayers * (2 * block * 3 + attention(6)) + 2 * vocabSize * d);
  assert.equal(decoding, numLayers * (2 * block * 2 + attention(9)) + 2 * vocabSize * d * 2);
});

test("prompts beside the product, decoding beside a plain sum and the product, in the quickest rounds", () => {
  const ids = (count: number) => Array.from({ length: count }, () => [7, 8, 9, 10, 11]);
  const round = (slow: number) => ({
    runs: [
      { batch: 1, seconds: slow * 2, cpu: 1, ids: ids(1), promptSeconds: slow * 0.4 },
      { batch: 4, seconds: slow * 5, cpu: 1, ids: ids(4), promptSeconds: slow },
    ],
    weights: { bytes: 2 ** 30, seconds: slow * 0.24 },
    gemmGflops: 100 / slow,
  });
  const lines = limitsText([round(2), round(1)], { prompt: 32e9, decoding: 40e9 }).split("\n");
  assert.match(lines[0] ?? "", /GEMM 100 GFLOP\/s; .* 1024 MiB at 4\.5 GB\/s$/);
  // 32 in 0.4 s; 4 passes over a GiB in 1.6 s; 40 in 1.6 s
  assert.deepEqual(lines.at(-2)?.split(/ {2,}/), ["1", "80", "80 %", "2.7", "60 %", "25", "25 %"]);
  // 128 in 1 s; 4 passes in 4 s; 160 in 4 s
  assert.deepEqual(lines.at(-1)?.split(/ {2,}/), ["4", "128", "128 %", "1.1", "24 %", "40", "40 %"]);
});

test("one new token: nothing is decoded behind it", () => {
  const run = { batch: 1, seconds: 1, cpu: 1, ids: [[7]], promptSeconds: 1 };
  const text = limitsText([{ runs: [run], weights: { bytes: 8, seconds: 1 }, gemmGflops: 50 }], {
    prompt: 10e9,
    decoding: 0,
  });
  assert.deepEqual(text.split("\n").at(-1)?.trim().split(/ {2,}/), ["1", "10", "20 %"]);
});
