/**
 * Whole runs on a GPU, or on the rehearsal device (docs/rehearsal.md): trained, evaluated, saved, resumed to the same bits; and
 * answers, token by token those of the CPU.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Engine } from "../../src/generate/engine.ts";
import type { TokenChoice } from "../../src/generate/request.ts";
import { scope } from "../../src/torch/index.ts";
import { amount } from "../support/campaign.ts";
import { assertClose } from "../support/close.ts";
import { generateRequest } from "../support/generate-request.ts";
import { openGpu } from "../support/gpu.ts";
import { type GpuSetup, modelOn } from "../support/gpu-training.ts";
import {
  assertSameRun,
  cutBack,
  evaluationsOf,
  losses,
  runFixture,
  runTraining,
  type Values,
  wholeRuns,
} from "../support/runs.ts";
import { adaptPatterned, tinyAdapterConfig, tinyNames } from "../support/tiny-models.ts";

const { device, skip, rehearsal } = await openGpu();
rehearsal?.setLateness(1, 0.01);
const fixture = runFixture({ rows: 9, held: 3 });
after(() => {
  fixture[Symbol.dispose]();
  assert.deepEqual(rehearsal?.faults() ?? [], []);
});

const steps = 6;
const common: Values = {
  ...fixture.values,
  device: "auto",
  dtype: "bfloat16",
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 2,
  max_steps: steps,
  eval_steps: 2,
  save_steps: 1,
  log_entropy: true,
};
const recipes: Record<string, Values> = {
  "SLIME with LoRA and dropout": {
    ...common,
    objective: "slime",
    learning_rate: 5e-3,
    use_peft: true,
    lora_r: 4,
    lora_alpha: 8,
    lora_dropout: 0.2,
  },
  "DPO in full, recomputed and offloaded": {
    ...common,
    objective: "dpo",
    learning_rate: 2e-3,
    gradient_checkpointing: true,
    activation_offloading: true,
  },
};

const uninterrupted = wholeRuns(fixture);

for (const [name, recipe] of Object.entries(recipes)) {
  test(`${name}: resumed = uninterrupted`, { skip }, async () => {
    const whole = await uninterrupted(recipe);
    assert.equal(new Set(losses(whole.record)).size, steps);
    assert.ok(losses(whole.record).every(Number.isFinite) && evaluationsOf(whole.record).length >= 3);
    for (let step = 1; step < steps; step += amount(3, 1)) {
      const dir = cutBack(whole.dir, fixture.path(`cut-${name}-${step}`), step);
      const record = await runTraining({ ...recipe, output_dir: dir, resume_from_checkpoint: "latest" });
      const rest = losses(whole.record).slice(step);
      // sums of CUDA's kernels may differ from run to run
      if (rehearsal === null) return assertClose(losses(record), rest, { rtol: 0.02 });
      assertSameRun(dir, whole.dir, steps);
      assert.deepEqual(losses(record), rest);
    }
  });
}

/** Greedy answers to two prompts, one with an adapter beside one without, token by token. */
function answersOn(where: string, setup: GpuSetup): { ids: number[]; logprobs: number[] } {
  using _ = scope();
  const [model, other] = [modelOn(where, setup), modelOn(where, setup)];
  adaptPatterned(other, tinyAdapterConfig());
  using engine = new Engine({ model, adapters: new Map([["other", other]]), tokenizer: null });
  const answers: TokenChoice[][] = [[], []];
  const longPrompt = Array.from({ length: 40 }, (_, i) => (7 * i + 3) % 32);
  for (const [i, adapter] of [null, "other"].entries()) {
    const request = {
      promptIds: i === 0 ? longPrompt : [5, 9],
      temperature: 0,
      logprobs: 0,
      maxNewTokens: 12,
    };
    engine.submit(`${i}`, generateRequest({ ...request, adapter }), (event) => {
      if (event.type === "token") answers[i]?.push(event);
    });
  }
  rehearsal?.counts();
  while (engine.step());
  const waits = rehearsal?.counts().waits ?? [];
  // each of the two models reads the numbers of each pass, and waits for nothing else
  assert.ok(waits.length <= 2 * 12 + 2 && waits.every((wait) => wait === "copy to the host"), waits.join());
  const tokens = answers.flat();
  return { ids: tokens.map(({ id }) => id), logprobs: tokens.map(({ logprob }) => logprob ?? Number.NaN) };
}

for (const name of tinyNames) {
  test(`${name}: answers as on the CPU`, { skip }, () => {
    const setup = { name, trains: "LoRA", gradient_checkpointing: false } as const;
    const want = answersOn("cpu", { ...setup, dtype: "float32" });
    const got = answersOn(device, { ...setup, dtype: "float32" });
    assert.equal(want.ids.length, 24);
    assert.deepEqual(got.ids, want.ids);
    assertClose(got.logprobs, want.logprobs, { atol: 1e-4 });
    assertClose(
      answersOn(device, { ...setup, dtype: "bfloat16" }).logprobs.slice(0, 1),
      want.logprobs.slice(0, 1),
      { atol: 0.1 },
    );
  });
}
