/**
 * One law for sampling and training on models of real size: the benchmark's, and SmolLM2 where it is there. Scoring and the training
 * pass are either compared with the sampler.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { modelConfigOf, shapes } from "../../scripts/bench/shapes.ts";
import { Random } from "../../src/base/random.ts";
import type { MicroBatch } from "../../src/forward/batch.ts";
import type { Numerics } from "../../src/forward/numerics.ts";
import { scoreBatch } from "../../src/forward/score-batch.ts";
import { type SamplingOptions, sampleCompletions } from "../../src/generate/sample.ts";
import { type Adapter, adapterTensors, addAdapter } from "../../src/models/adapt.ts";
import { buildModel } from "../../src/models/build.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { loadModel } from "../../src/models/load.ts";
import { randomWeights } from "../../src/models/weights.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { type DType, manualSeed, noGrad, ops, scope } from "../../src/torch/index.ts";
import { adapterParameters, trainAll } from "../../src/train/parameters.ts";
import { type Training, trainStep } from "../../src/train/step.ts";
import { peersPython, skipWithoutPeers } from "../support/peers.ts";
import { batchesOf, differenceOf, numericsOf, reinforce } from "../support/sampler-law.ts";
import { requireShared, skipWithoutShared } from "../support/shared.ts";
import { tinyAdapterConfig } from "../support/tiny-models.ts";

const random = new Random(4);
const prompts = [40, 7, 25].map((length) => Array.from({ length }, () => 3 + random.below(30_000)));
const laws: Pick<SamplingOptions, "temperature" | "topP">[] = [
  { temperature: 0.7 },
  { temperature: 1 },
  { temperature: 1.3 },
  { temperature: 1, topP: 0.9 },
];

/** An adapter on all linears whose part of the weights is large enough to be seen. */
function addRandomAdapter(model: CausalLM): Adapter {
  const adapter = addAdapter(model, tinyAdapterConfig({ rank: 8 }), "all-linear");
  manualSeed(1);
  noGrad(() => {
    for (const [, tensor] of adapterTensors(model)) ops.normal_(tensor, 0, 0.02);
  });
  return adapter;
}

/** What is trained. */
type Policy = Pick<Training, "model" | "adapter" | "parameters">;

/** The log-probs of the training pass of a step that changes nothing: its optimiser has no parameters. */
function trainingLogps(policy: Policy, batches: readonly MicroBatch[], numerics: Numerics): number[] {
  const none = { adam_beta1: 0, adam_beta2: 0, adam_epsilon: 0, weight_decay: 0 };
  const training: Training = {
    ...policy,
    ...{ objective: reinforce, optimizer: new AdamW([], none), numerics, max_grad_norm: 0, reference: null },
  };
  const options = { learningRate: 0, seed: 1, log_entropy: false, keep_logps: true };
  const { gradNorm, logps } = trainStep(training, batches, options);
  assert.ok(gradNorm > 0 && logps !== null, `${gradNorm}`);
  return logps.flatMap((part) => [...part]);
}

/** Mean and largest difference from the sampler under a law, of scoring and of the training pass. */
async function differences(
  policy: Policy,
  law: (typeof laws)[number],
  { tokens, dtype = "float32" }: { tokens: number; dtype?: DType },
): Promise<Record<"scoring" | "training", ReturnType<typeof differenceOf>>> {
  using _ = scope();
  const options = {
    ...law,
    maxNewTokens: tokens,
    stopIds: new Set([2]),
    seed: 5,
    answersPerPrompt: 3,
    dtype,
  };
  const { model } = policy;
  const completions = await sampleCompletions(model, prompts, { ...options, samplingLogprobs: true });
  const want = completions.flatMap(({ logprobs }) => [...(logprobs ?? [])]);
  const batches = batchesOf(prompts, completions, prompts.length);
  const numerics = { ...numericsOf(law.temperature, dtype), logits_chunk_size: null };
  const scored = batches.flatMap((batch) => scoreBatch(model, batch, numerics));
  return {
    scoring: differenceOf(
      scored.flatMap(({ logps }) => [...logps]),
      want,
    ),
    training: differenceOf(trainingLogps(policy, batches, numerics), want),
  };
}

/** Every law in float32 within `bound`, with the model as it is and with an adapter; bfloat16 is reported. */
async function compare(
  t: TestContext,
  model: CausalLM,
  { bound, tokens }: { bound: number; tokens: number },
): Promise<void> {
  for (const kind of ["full", "LoRA"]) {
    const adapter = kind === "LoRA" ? addRandomAdapter(model) : null;
    const parameters = adapter === null ? trainAll(model) : adapterParameters(model);
    for (const law of laws) {
      const found = await differences({ model, adapter, parameters }, law, { tokens });
      for (const [pass, { mean, max }] of Object.entries(found)) {
        const said = `${kind}, ${pass}, ${JSON.stringify(law)}: ${mean} in the mean, ${max} at most`;
        t.diagnostic(said);
        assert.ok(max < bound, said);
      }
    }
    const law = { temperature: 1 };
    const half = await differences({ model, adapter, parameters }, law, { tokens, dtype: "bfloat16" });
    for (const [pass, { mean, max }] of Object.entries(half)) {
      t.diagnostic(`${kind}, ${pass}, bfloat16: ${mean} in the mean, ${max} at most`);
      assert.ok(mean > 1e-5 && mean < 0.2, `${pass} ${mean}`);
    }
    // an adapter is trained beside frozen weights
    for (const { tensor } of parameters) tensor.requiresGrad = false;
  }
}

test("the benchmark's model: sampler and trainer agree to 1e-5 nats, full and LoRA, at every temperature and top-p", async (t) => {
  using _ = scope();
  manualSeed(0);
  const model = buildModel(modelConfigOf(shapes["bench"] as (typeof shapes)[string]), randomWeights(0.02, 1));
  await compare(t, model, { bound: 1e-5, tokens: 16 });
});

test("SmolLM2-135M: sampler and trainer agree to 1e-4 nats, full and LoRA, at every temperature and top-p", {
  skip: skipWithoutShared("models", "SmolLM2-135M-Instruct-Q4_1") || skipWithoutPeers(),
}, async (t) => {
  using _ = scope();
  const dir = mkdtempSync(join(tmpdir(), "preftune-smollm2-"));
  t.after(() => rmSync(dir, { recursive: true }));
  // the weights are stored in 4 bits there
  const made = spawnSync(peersPython() ?? "", [requireShared("tools", "smollm2_to_hf.py"), dir], {
    encoding: "utf8",
  });
  assert.equal(made.status, 0, made.stderr);
  await compare(t, loadModel(dir, { dtype: "float32" }), { bound: 1e-4, tokens: 8 });
});
