/** Log-probs, losses and gradients of every family against PyTorch, transformers, TRL, PEFT and the authors' trainer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Example } from "../../src/data/example.ts";
import type { MicroBatch } from "../../src/forward/batch.ts";
import type { Numerics } from "../../src/forward/numerics.ts";
import { scoreBatch } from "../../src/forward/score-batch.ts";
import { dpo } from "../../src/methods/dpo/loss.ts";
import type { Objective } from "../../src/methods/objective.ts";
import { sft } from "../../src/methods/sft/loss.ts";
import { simpo } from "../../src/methods/simpo/loss.ts";
import { slime } from "../../src/methods/slime/loss.ts";
import type { Adapter } from "../../src/models/adapt.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { loadModel } from "../../src/models/load.ts";
import { writeMergedModel } from "../../src/models/save.ts";
import { adapterParameters, trainAll } from "../../src/train/parameters.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import {
  everyFamily,
  type FixtureFamily,
  families,
  fixtureExamples,
  fixtureGoldens,
  type GoldenGradients,
  type GoldenLoss,
} from "../support/fixture-files.ts";
import { fixtureAdapted, fixtureModel, microBatch } from "../support/fixtures.ts";
import { plainNumerics as plain, type RecordedStep, recordStep } from "../support/record-step.ts";
import { logitsOf, temporaryDirectory } from "../support/tiny-models.ts";

const slimePresets = ["config", "script"] as const;

function slimeOf(hyper: Record<string, number>, isCompat = false): Objective {
  return slime({
    lambda_w: hyper["lambda_w"] as number,
    lambda_l: hyper["lambda_l"] as number,
    delta: hyper["delta"] as number,
    margin_hard: hyper["margin_hard"] as number,
    margin_soft: hyper["margin_soft"] as number,
    lambda_d: hyper["lambda_d"] as number,
    kappa: 2.5,
    power: 2.5,
    ...(isCompat ? { preset: "reference-compat" } : {}),
  });
}

const objectives: Record<string, (hyper: Record<string, number>) => Objective> = {
  dpo_sigmoid: () => dpo({ beta: 0.1, label_smoothing: 0, loss_type: "sigmoid" }),
  simpo: simpoOf,
  cpo_simpo_alpha1: simpoOf,
  cpo_simpo_train_script: simpoOf,
  slime_config: (hyper) => slimeOf(hyper),
  slime_script: (hyper) => slimeOf(hyper),
};

function simpoOf(hyper: Record<string, number>): Objective {
  return simpo({
    beta: hyper["beta"] as number,
    simpo_gamma: hyper["simpo_gamma"] as number,
    cpo_alpha: hyper["cpo_alpha"] as number,
    label_smoothing: 0,
  });
}

/** A micro-batch a row, blocks computed again in the backward pass, few logits at once. */
function inSingleRows(rows: Example[]): { batches: MicroBatch[]; numerics: Numerics } {
  return {
    batches: rows.map((row, i) => microBatch([row], true, i)),
    numerics: { ...plain, gradient_checkpointing: true, logits_chunk_size: 7 },
  };
}

function assertGrads(got: RecordedStep, want: GoldenGradients): void {
  assertClose(got.norm, want.global_norm, { rtol: 1e-4 });
  for (const [name, [norm, first, last]] of Object.entries(want.params)) {
    const grad = got.grads.get(name);
    assert.ok(grad !== undefined, `no gradient of ${name}`);
    assertClose(Math.sqrt(grad.reduce((sum, x) => sum + x * x, 0)), norm, { rtol: 1e-4, atol: 1e-7 });
    const atol = 1e-4 * Math.max(norm, 1e-6);
    assertClose(grad.slice(0, first.length), first, { atol });
    assertClose(grad.slice(-last.length), last, { atol });
  }
}

for (const family of everyFamily) {
  test(`${family}: token log-probs, with and without a shared prompt`, () => {
    const { logps } = fixtureGoldens(family);
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const examples = fixtureExamples(family);
      for (const isShared of [true, false]) {
        for (const score of scoreBatch(model, microBatch(examples, isShared), plain)) {
          const side = score.completion === 0 ? "chosen" : "rejected";
          assertClose([...score.logps], logps[side][score.index] ?? [], { atol: 2e-5 });
        }
      }
    });
  });

  test(`${family}: losses and gradients of every objective, whole and in single rows that are recomputed`, () => {
    const { losses } = fixtureGoldens(family);
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const parameters = trainAll(model);
      const examples = fixtureExamples(family);
      const check = (name: string, make: (hyper: Record<string, number>) => Objective, rows: Example[]) => {
        const golden = losses[name] as GoldenLoss;
        for (const cut of [{ batches: [microBatch(rows)] }, inSingleRows(rows)]) {
          const got = recordStep(model, parameters, { objective: make(golden.hyper), ...cut });
          assertClose(got.loss, golden.loss, { rtol: 1e-5 });
          assertGrads(got, golden.grads);
        }
      };
      for (const [name, make] of Object.entries(objectives)) check(name, make, examples);
      const answers = examples.map((e) => ({ ...e, completions: e.completions.slice(0, 1) }));
      const sequences = answers.map((e) => ({
        ...e,
        promptIds: e.promptIds.slice(0, 1),
        completions: [{ ids: [...e.promptIds.slice(1), ...(e.completions[0]?.ids ?? [])] }],
      }));
      check("sft_completion_nll", () => sft(), answers);
      check("sft_full_sequence_nll", () => sft(), sequences);
    });
  });

  test(`${family}: packing, recomputation, chunk size and micro-batches change nothing`, () => {
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const parameters = trainAll(model);
      const examples = fixtureExamples(family);
      const objective = slimeOf((fixtureGoldens(family).losses["slime_config"] as GoldenLoss).hyper);
      const whole = recordStep(model, parameters, { objective, batches: [microBatch(examples)] });
      const variants: Record<string, { batches: MicroBatch[]; numerics?: Numerics }> = {
        "no shared prompt": { batches: [microBatch(examples, false)] },
        gradient_checkpointing: {
          batches: [microBatch(examples)],
          numerics: { ...plain, gradient_checkpointing: true },
        },
        "chunks of 5 rows": { batches: [microBatch(examples)], numerics: { ...plain, logits_chunk_size: 5 } },
        "4 of 1": { batches: examples.map((e, i) => microBatch([e], true, i)) },
        "2 of 2": {
          batches: [0, 2].map((first) => microBatch(examples.slice(first, first + 2), true, first)),
        },
        "3 and 1, recomputed": {
          batches: [microBatch(examples.slice(0, 3)), microBatch(examples.slice(3), true, 3)],
          numerics: { ...plain, gradient_checkpointing: true },
        },
      };
      for (const variant of Object.values(variants)) {
        const got = recordStep(model, parameters, { objective, ...variant });
        assertClose(got.loss, whole.loss, { rtol: 1e-6 });
        assertClose(got.norm, whole.norm, { rtol: 1e-5 });
        for (const [key, grad] of whole.grads) {
          const size = Math.sqrt(grad.reduce((sum, x) => sum + x * x, 0));
          assertClose(got.grads.get(key) ?? [], grad, { atol: 1e-5 * size + 1e-9 });
        }
      }
    });
  });

  test(`${family}: PEFT adapter logits on, off and merged; SLIME gradients of the adapter`, () => {
    withoutLeaks(() => {
      const { model, adapter } = fixtureAdapted(family);
      checkAdapterLogits(family, model, adapter);
      const golden = fixtureGoldens(family).adapter.slime;
      const got = recordStep(model, adapterParameters(model), {
        objective: slimeOf(golden.hyper),
        batches: [microBatch(fixtureExamples(family))],
        adapter,
      });
      assertClose(got.loss, golden.loss, { rtol: 1e-5 });
      assertGrads(got, golden.grads);
    });
  });
}

for (const family of families) {
  test(`${family}: SLIME's loss and gradients are those of the authors' trainer`, () => {
    const { losses, slime_authors: authors = assert.fail() } = fixtureGoldens(family);
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const parameters = trainAll(model);
      const batches = [microBatch(fixtureExamples(family))];
      for (const preset of slimePresets) {
        const { hyper } = losses[`slime_${preset}`] as GoldenLoss;
        const got = recordStep(model, parameters, { objective: slimeOf(hyper), batches });
        assertClose(got.loss, authors[preset].loss, { rtol: 1e-5 });
        assertGrads(got, authors[preset].grads);
        // their trainer adds the loss up three times
        const threefold = recordStep(model, parameters, { objective: slimeOf(hyper, true), batches });
        assertClose(threefold.loss, authors[preset].compute_loss, { rtol: 1e-5 });
      }
    });
  });
}

function checkAdapterLogits(family: FixtureFamily, model: CausalLM, adapter: Adapter): void {
  const golden = fixtureGoldens(family).adapter;
  const size = model.config.vocabSize;
  for (const name of ["on", "off"] as const) {
    adapter.switch.enabled = name === "on";
    const logits = logitsOf(model, golden.input_ids);
    for (const [row, want] of golden[name].logits.entries()) {
      const got = logits.slice(row * size, (row + 1) * size);
      assertClose(
        got.filter((_, column) => column % golden.columns === 0),
        want,
        { atol: 5e-5 },
      );
      const sum = Math.log(got.reduce((total, x) => total + Math.exp(x), 0));
      assertClose(sum, golden[name].logsumexp[row] ?? Number.NaN, { atol: 5e-5 });
    }
  }
  adapter.switch.enabled = true;
  using dir = temporaryDirectory();
  writeMergedModel(dir.path, model, "float32");
  const merged = logitsOf(loadModel(dir.path), golden.input_ids);
  const want = logitsOf(model, golden.input_ids);
  assertClose(merged, want, { atol: 5e-5 });
}
