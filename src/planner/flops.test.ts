/** Tests of flops.ts: small shapes counted by hand, and a sum over positions as a second way for attention. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseModelConfig } from "../formats/hf-config.ts";
import { attendedPairs, completionTokens, type FlopsOptions, pairFlops, streamTokens } from "./flops.ts";
import { adapterParts, everything } from "./trained-parts.ts";

const tiny = parseModelConfig(
  {
    model_type: "qwen3",
    num_hidden_layers: 2,
    hidden_size: 4,
    intermediate_size: 6,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 2,
    vocab_size: 10,
  },
  "config.json",
);
const pair = { prompt: 3, chosen: 2, rejected: 4 };
const full: FlopsOptions = { trained: everything, share_prompt: true, recomputed: 0 };
const allLinear = (modulesToSave: string[] = []) =>
  adapterParts(tiny, {
    rank: 1,
    targets: "all-linear",
    targetModules: [],
    modulesToSave,
    rankPattern: {},
    dropout: 0,
    useDora: false,
  });

// linears of a layer: q 4·4, k and v 4·2 each, o 4·4, three of 4·6; rank 1 adds 8 + 6 + 6 + 8 + 30
const weights = 2 * (16 + 8 + 8 + 16 + 72);
const factors = 2 * 58;

test("a stream holds the prompt once and no answer's last token", () => {
  assert.equal(streamTokens(pair), 3 + 1 + 3);
  assert.equal(streamTokens(pair, false), 3 + 1 + 3 + 3);
  assert.equal(streamTokens({ prompt: 3, chosen: 2, rejected: 0 }), 4);
  assert.equal(completionTokens(pair), 6);
});

test("attention: prompt 6, chosen 1 + 3, rejected 6 + 9", () => {
  assert.equal(attendedPairs(pair), 25);
  assert.equal(attendedPairs(pair, false), 10 + 21);
});

test("a sliding window: the sum over positions of the tokens each sees", () => {
  const lengths = { prompt: 11, chosen: 9, rejected: 5 };
  for (const window of [1, 3, 8, 12, 40]) {
    let sum = 0;
    for (let i = 1; i <= 11; i++) sum += Math.min(i, window);
    for (const answer of [9, 5]) for (let i = 1; i < answer; i++) sum += Math.min(11 + i, window);
    assert.equal(attendedPairs(lengths, true, window), sum);
  }
});

test("full training: 6 a weight and token, head on 6 answer tokens, attention 12·H·E", () => {
  const { training, forward, reference, recompute } = pairFlops(tiny, pair, full);
  assert.equal(training, 6 * weights * 7 + 6 * 40 * 6 + 12 * 4 * 2 * 25);
  assert.equal(forward, training / 3);
  assert.equal(reference, forward);
  assert.equal(recompute, 0);
});

test("LoRA: 4 a frozen weight, 6 an adapter's; a head trained in full 6", () => {
  const lora = { ...full, trained: allLinear() };
  const attention = 12 * 4 * 2 * 25;
  assert.equal(
    pairFlops(tiny, pair, lora).training,
    4 * weights * 7 + 6 * factors * 7 + 4 * 40 * 6 + attention,
  );
  const saved = { ...full, trained: allLinear(["lm_head"]) };
  assert.equal(pairFlops(tiny, pair, saved).training - pairFlops(tiny, pair, lora).training, 2 * 40 * 6);
  assert.equal(pairFlops(tiny, pair, lora).reference, 2 * weights * 7 + 2 * 40 * 6 + attention / 3);
});

test("predicted prompts are rows of the head; a KL estimate is a forward pass on answers", () => {
  const plain = pairFlops(tiny, pair, full);
  const { training, reference } = pairFlops(tiny, pair, { ...full, predictsPrompts: true });
  assert.equal(training - plain.training, 6 * 40 * (pair.prompt - 1));
  assert.equal(reference, plain.reference);
  assert.deepEqual([plain.kl, pairFlops(tiny, pair, { ...full, estimatesKl: true }).kl], [0, plain.forward]);
});

test("recomputing runs the blocks forward once more, not the head", () => {
  const { recompute, training } = pairFlops(tiny, pair, { ...full, recomputed: 1 });
  assert.equal(recompute, 2 * weights * 7 + 4 * 4 * 2 * 25);
  assert.equal(training, pairFlops(tiny, pair, full).training);
});
