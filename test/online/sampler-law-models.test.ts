/** One law for sampling and training on models of real size: the benchmark's, and SmolLM2 where it is there. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { modelConfigOf, shapes } from "../../scripts/bench/shapes.ts";
import { Random } from "../../src/base/random.ts";
import { scoreBatch } from "../../src/forward/score-batch.ts";
import { type SamplingOptions, sampleCompletions } from "../../src/generate/sample.ts";
import { adapterTensors, addAdapter } from "../../src/models/adapt.ts";
import { buildModel } from "../../src/models/build.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { loadModel } from "../../src/models/load.ts";
import { randomWeights } from "../../src/models/weights.ts";
import { type DType, manualSeed, noGrad, ops, scope } from "../../src/torch/index.ts";
import { peersPython, skipWithoutPeers } from "../support/peers.ts";
import { batchesOf, differenceOf, numericsOf } from "../support/sampler-law.ts";
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
function addRandomAdapter(model: CausalLM): void {
  addAdapter(model, tinyAdapterConfig({ rank: 8 }), "all-linear");
  manualSeed(1);
  noGrad(() => {
    for (const [, tensor] of adapterTensors(model)) ops.normal_(tensor, 0, 0.02);
  });
}

/** Mean and largest difference under a law. */
async function difference(
  model: CausalLM,
  law: (typeof laws)[number],
  { tokens, dtype = "float32" }: { tokens: number; dtype?: DType },
): Promise<ReturnType<typeof differenceOf>> {
  using _ = scope();
  const options = {
    ...law,
    maxNewTokens: tokens,
    stopIds: new Set([2]),
    seed: 5,
    answersPerPrompt: 3,
    dtype,
  };
  const completions = await sampleCompletions(model, prompts, { ...options, samplingLogprobs: true });
  const scored = batchesOf(prompts, completions, prompts.length).flatMap((batch) =>
    scoreBatch(model, batch, { ...numericsOf(law.temperature, dtype), logits_chunk_size: null }),
  );
  const want = completions.flatMap(({ logprobs }) => [...(logprobs ?? [])]);
  return differenceOf(
    scored.flatMap(({ logps }) => [...logps]),
    want,
  );
}

/** Every law in float32 within `bound`, with the model as it is and with an adapter; bfloat16 is reported. */
async function compare(
  t: TestContext,
  model: CausalLM,
  { bound, tokens }: { bound: number; tokens: number },
): Promise<void> {
  for (const kind of ["full", "LoRA"]) {
    if (kind === "LoRA") addRandomAdapter(model);
    for (const law of laws) {
      const { mean, max } = await difference(model, law, { tokens });
      t.diagnostic(`${kind}, ${JSON.stringify(law)}: ${mean} in the mean, ${max} at most`);
      assert.ok(max < bound, `${kind}, ${JSON.stringify(law)}: ${mean} in the mean, ${max} at most`);
    }
    const half = await difference(model, { temperature: 1 }, { tokens, dtype: "bfloat16" });
    t.diagnostic(`${kind}, bfloat16: ${half.mean} in the mean, ${half.max} at most`);
    assert.ok(half.mean > 1e-5 && half.mean < 0.2, `${half.mean}`);
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
