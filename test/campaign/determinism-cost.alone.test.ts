/**
 * What equal bits cost. Training has no other mode: torch's deterministic algorithms are always on, and LoRA's dropout masks follow
 * from the row and the token. Here the algorithms are switched off for comparison: on the CPU the numbers are the same, bit for
 * bit, and so should be the time. The masks are compared with those of torch's own generator, and with no dropout.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ModelShape, modelConfigOf } from "../../scripts/bench/shapes.ts";
import { Random } from "../../src/base/random.ts";
import { addAdapter } from "../../src/models/adapt.ts";
import { buildModel } from "../../src/models/build.ts";
import { randomWeights } from "../../src/models/weights.ts";
import { manualSeed, scope, setDeterministic, setThreads } from "../../src/torch/index.ts";
import { native } from "../../src/torch/native.ts";
import { type Training, trainStep } from "../../src/train/step.ts";
import { amount, campaignSeed, figure, isNightly } from "../support/campaign.ts";
import { microBatch } from "../support/fixtures.ts";
import { type Call, withCalls } from "../support/operator-calls.ts";
import { tinyAdapterConfig } from "../support/tiny-models.ts";
import { randomRows, scriptSlime, stateHash, trainingOf } from "../support/tiny-training.ts";

const shape: ModelShape = {
  family: "qwen3",
  layers: amount(2, 6),
  width: amount(64, 256),
  intermediate: amount(128, 768),
  heads: 4,
  keyValueHeads: 2,
  headWidth: amount(16, 64),
  vocabulary: amount(500, 16_000),
};

function trainingWith(kind: "full" | "lora", dropout: number): Training {
  manualSeed(3);
  const model = buildModel(modelConfigOf(shape), randomWeights(0.02, 1));
  const adapter =
    kind === "full" ? null : addAdapter(model, tinyAdapterConfig({ rank: 8, dropout }), "all-linear");
  return trainingOf(model, adapter, { objective: scriptSlime, weight_decay: 0 });
}

/** A training, what is set before each of its steps, and what is done to its calls of operators. */
interface Variant {
  training: Training;
  prepare?: () => void;
  change?: (call: Call) => unknown;
}

/** Least CPU seconds of a step of each variant, in turns, and the state that each ends in. */
function compared(name: string, variants: readonly Variant[]): { least: number[]; states: string[] } {
  const random = new Random(campaignSeed);
  const batches = [microBatch(randomRows(random, amount(3, 6), amount(20, 200)))];
  // the least of many: what other processes take only adds
  const least = variants.map(() => Number.POSITIVE_INFINITY);
  for (let step = 0; step < amount(3, 25); step++) {
    if (isNightly) process.stdout.write(`${name}: step ${step}\n`);
    for (const [index, { training, prepare, change = asItIs }] of variants.entries()) {
      prepare?.();
      const options = { learningRate: 1e-3, seed: step, log_entropy: false };
      const before = process.cpuUsage();
      const { skipped } = withCalls(change, () => trainStep(training, batches, options));
      const { user, system } = process.cpuUsage(before);
      assert.equal(skipped, null);
      if (step > 1) least[index] = Math.min(least[index] as number, (user + system) / 1e6);
    }
  }
  const states = variants.map(({ training }) => stateHash(training));
  for (const { training } of variants)
    for (const [, state] of training.optimizer.stateTensors()) state.dispose();
  return { least, states };
}

const asItIs = (call: Call): unknown => call.with(...call.args);

const torchDropout = native.findOperator("aten::dropout", "") ?? assert.fail();
const torchLinear = native.findOperator("aten::linear", "") ?? assert.fail();

/** torch's dropout, whose masks its generator draws, in place of ours. */
function drawn(call: Call): unknown {
  if (call.name !== "preftune::dropped_product") return asItIs(call);
  const [x, , a, , p] = call.args;
  return native.call(torchLinear, native.call(torchDropout, x, p, true), a, null);
}

const ratioOf = ([a = Number.NaN, b = Number.NaN]: readonly number[]): number => a / b;

for (const kind of ["full", "lora"] as const) {
  test(`${kind}: torch's deterministic mode and its other mode end in the same bits, at the same cost`, () => {
    using _ = scope();
    setThreads(1);
    const { least, states } = compared(kind, [
      { training: trainingWith(kind, 0.05), prepare: () => setDeterministic(true) },
      { training: trainingWith(kind, 0.05), prepare: () => setDeterministic(false) },
    ]);
    setDeterministic(true);
    const ratio = ratioOf(least);
    assert.equal(states[0], states[1]);
    if (!isNightly) return;
    const what = `deterministic against torch's other mode, CPU seconds of a step, ${kind === "full" ? "full tuning" : "LoRA"}`;
    figure(14, what, `${ratio.toFixed(3)} times, the same bits`, "≤ 1.10 times", ratio <= 1.1);
  });
}

test("lora: dropout is at work, and its masks cost no more than those that torch draws", () => {
  using _ = scope();
  setThreads(1);
  const { least, states } = compared("dropout", [
    { training: trainingWith("lora", 0.05) },
    { training: trainingWith("lora", 0.05), change: drawn },
    { training: trainingWith("lora", 0) },
  ]);
  assert.equal(new Set(states).size, 3);
  if (!isNightly) return;
  const [hashed = Number.NaN, ofTorch = Number.NaN, none = Number.NaN] = least;
  const beside = ratioOf([hashed, ofTorch]);
  figure(
    14,
    "a LoRA step with dropout 0.05 against one with torch's own dropout, CPU seconds",
    `${beside.toFixed(3)} times`,
    "≤ 1.02 times",
    beside <= 1.02,
  );
  const above = ratioOf([hashed, none]);
  const what = "a LoRA step with dropout 0.05 against one without, CPU seconds";
  figure(14, what, `${above.toFixed(3)} times`, "≤ 1.10 times", above <= 1.1);
});
