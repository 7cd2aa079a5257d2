/**
 * What equal bits cost. Training has no other mode: torch's deterministic algorithms are always on. Here they are switched off for
 * comparison: on the CPU the numbers are the same, bit for bit, and so should be the time.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ModelShape, modelConfigOf } from "../../scripts/bench/shapes.ts";
import { Random } from "../../src/base/random.ts";
import { addAdapter } from "../../src/models/adapt.ts";
import { buildModel } from "../../src/models/build.ts";
import { randomWeights } from "../../src/models/weights.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { manualSeed, scope, setDeterministic, setThreads } from "../../src/torch/index.ts";
import { adapterParameters, trainAll } from "../../src/train/parameters.ts";
import { type Training, trainStep } from "../../src/train/step.ts";
import { amount, figure, isNightly } from "../support/campaign.ts";
import { microBatch } from "../support/fixtures.ts";
import { tinyAdapterConfig } from "../support/tiny-models.ts";
import { randomRows, scriptSlime, stateHash } from "../support/tiny-training.ts";

const shape: ModelShape = {
  layers: amount(2, 6),
  width: amount(64, 256),
  intermediate: amount(128, 768),
  heads: 4,
  keyValueHeads: 2,
  headWidth: amount(16, 64),
  vocabulary: amount(500, 16_000),
};

function trainingOf(kind: "full" | "lora"): Training {
  manualSeed(3);
  const model = buildModel(modelConfigOf(shape), randomWeights(0.02, 1));
  const adapter =
    kind === "full" ? null : addAdapter(model, tinyAdapterConfig({ rank: 8, dropout: 0.05 }), "all-linear");
  const parameters = kind === "full" ? trainAll(model) : adapterParameters(model);
  return {
    ...{ model, adapter, parameters, objective: scriptSlime },
    optimizer: new AdamW(parameters, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 }),
    numerics: { dtype: "float32", recompute: false, chunkColumns: null },
    maxGradNorm: 1,
    reference: null,
  };
}

/** CPU seconds of each of some steps, modes in turns, and the state that each mode ends in. */
function compared(kind: "full" | "lora"): { seconds: [on: number[], off: number[]]; states: string[] } {
  using _ = scope();
  const random = new Random(Number(process.env["PREFTUNE_SEED"] ?? 1));
  const batches = [microBatch(randomRows(random, amount(3, 6), amount(20, 200)))];
  const trainings = [trainingOf(kind), trainingOf(kind)] as const;
  const seconds: [number[], number[]] = [[], []];
  for (let step = 0; step < amount(3, 25); step++) {
    if (isNightly) process.stdout.write(`${kind}: step ${step}\n`);
    for (const [mode, training] of trainings.entries()) {
      setDeterministic(mode === 0);
      const before = process.cpuUsage();
      const { skipped } = trainStep(training, batches, { learningRate: 1e-3, seed: step, entropies: false });
      const { user, system } = process.cpuUsage(before);
      assert.equal(skipped, null);
      if (step > 1) seconds[mode]?.push((user + system) / 1e6);
    }
  }
  setDeterministic(true);
  const states = trainings.map(stateHash);
  for (const { optimizer } of trainings) for (const [, state] of optimizer.stateTensors()) state.dispose();
  return { seconds, states };
}

for (const kind of ["full", "lora"] as const) {
  test(`${kind}: torch's deterministic mode and its other mode end in the same bits, at the same cost`, () => {
    setThreads(1);
    const { seconds, states } = compared(kind);
    assert.equal(states[0], states[1]);
    if (!isNightly) return;
    // the least of many: what other processes take only adds
    const [on, off] = seconds.map((times) => Math.min(...times)) as [number, number];
    const ratio = on / off;
    const what = `deterministic against torch's other mode, CPU seconds of a step, ${kind === "full" ? "full tuning" : "LoRA"}`;
    figure(14, what, `${ratio.toFixed(3)} times, the same bits`, "≤ 1.10 times", ratio <= 1.1);
  });
}
