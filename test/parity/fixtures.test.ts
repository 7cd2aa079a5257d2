/** Log-probs, losses and gradients of every family against PyTorch, transformers, TRL, PEFT and the authors' trainer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readSafetensorsHeader } from "../../src/formats/safetensors.ts";
import type { Adapter } from "../../src/models/adapt.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { mapSafetensors } from "../../src/models/mapped-file.ts";
import { dpo } from "../../src/objectives/dpo.ts";
import type { Objective } from "../../src/objectives/objective.ts";
import { sft } from "../../src/objectives/sft.ts";
import { simpo } from "../../src/objectives/simpo.ts";
import { slime } from "../../src/objectives/slime.ts";
import { AdamW, type NamedParameter } from "../../src/optim/adamw.ts";
import { noGrad, ops, scope, type Tensor, tensor } from "../../src/torch/index.ts";
import { adapterParameters, trainAll } from "../../src/train/parameters.ts";
import { scoreBatch } from "../../src/train/score.ts";
import { type MicroBatch, type Numerics, type Training, trainStep } from "../../src/train/step.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import {
  type FixtureFamily,
  families,
  fixtureAdapted,
  fixtureExamples,
  fixtureJson,
  fixtureModel,
  fixturePath,
  microBatch,
} from "../support/fixtures.ts";
import { skipWithoutShared } from "../support/shared.ts";

const skip = skipWithoutShared("fixtures");
const plain: Numerics = { dtype: "float32", recompute: false, chunkColumns: null };

interface GradGolden {
  global_norm: number;
  params: Record<string, { norm: number; sum: number; first: number[]; last: number[]; shape: number[] }>;
}

interface LossGolden {
  hyper: Record<string, number>;
  loss: number;
  compute_loss_as_trainer?: number;
  grads: GradGolden;
}

function slimeOf(hyper: Record<string, number>, referenceCompat = false): Objective {
  return slime({
    lambdaW: hyper["center_lambda_chosen"] as number,
    lambdaL: hyper["center_lambda_rejected"] as number,
    delta: hyper["rejected_penalty_shift"] as number,
    marginHard: hyper["hard_margin"] as number,
    marginSoft: hyper["soft_margin"] as number,
    lambdaD: hyper["dist_lambda"] as number,
    kappa: 2.5,
    power: 2.5,
    referenceCompat,
  });
}

const objectives: Record<string, (hyper: Record<string, number>) => Objective> = {
  dpo_sigmoid: () => dpo({ beta: 0.1, labelSmoothing: 0, lossType: "sigmoid" }),
  simpo: simpoOf,
  cpo_simpo_alpha1: simpoOf,
  cpo_simpo_train_script: simpoOf,
  slime_default: (hyper) => slimeOf(hyper),
  slime_train_script: (hyper) => slimeOf(hyper),
};

function simpoOf(hyper: Record<string, number>): Objective {
  return simpo({
    beta: hyper["beta"] as number,
    simpoGamma: hyper["simpo_gamma"] as number,
    cpoAlpha: hyper["cpo_alpha"] as number,
    labelSmoothing: 0,
  });
}

/** Records the gradients at the moment of the update and changes nothing. */
class Recorder extends AdamW {
  grads: Map<string, Tensor> = new Map();
  readonly #watched: readonly NamedParameter[];

  constructor(parameters: readonly NamedParameter[]) {
    super([], { beta1: 0, beta2: 0, epsilon: 0, weightDecay: 0 });
    this.#watched = parameters;
  }

  override step(): void {
    for (const { name, tensor: parameter } of this.#watched) {
      const grad = parameter.grad;
      if (grad !== null) this.grads.set(name, ops.clone(grad));
    }
  }
}

interface Recorded {
  loss: number;
  norm: number;
  grads: Map<string, number[]>;
}

/** One step's loss and gradients, in plain numbers. */
function record(
  model: CausalLM,
  parameters: readonly NamedParameter[],
  run: { objective: Objective; batches: MicroBatch[]; numerics?: Numerics; adapter?: Adapter },
): Recorded {
  const optimizer = new Recorder(parameters);
  const step = optimizer.step.bind(optimizer);
  const grads = new Map<string, number[]>();
  optimizer.step = () => {
    step();
    for (const [name, grad] of optimizer.grads) grads.set(name, grad.toNumbers());
  };
  const training: Training = {
    model,
    adapter: run.adapter ?? null,
    parameters,
    objective: run.objective,
    optimizer,
    numerics: run.numerics ?? plain,
    maxGradNorm: 0,
    reference: ({ packed }) => packed.examples.flatMap((e) => e.referenceLogps ?? []),
  };
  const result = trainStep(training, run.batches, { learningRate: 0, entropies: false });
  return { loss: result.loss, norm: result.gradNorm, grads };
}

function assertGrads(got: Recorded, want: GradGolden, nameOf: (golden: string) => string): void {
  assertClose(got.norm, want.global_norm, { rtol: 1e-4 });
  for (const [golden, expected] of Object.entries(want.params)) {
    const grad = got.grads.get(nameOf(golden));
    assert.ok(grad !== undefined, `no gradient of ${golden}`);
    const norm = Math.sqrt(grad.reduce((sum, x) => sum + x * x, 0));
    assertClose(norm, expected.norm, { rtol: 1e-4, atol: 1e-7 });
    const atol = 1e-4 * Math.max(expected.norm, 1e-6);
    assertClose(grad.slice(0, expected.first.length), expected.first, { atol });
    assertClose(grad.slice(-expected.last.length), expected.last, { atol });
  }
}

for (const family of families) {
  test(`${family}: token log-probs, with and without a shared prompt`, { skip }, () => {
    const golden = fixtureJson<Record<string, number[][]>>(family, "logps.json");
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const examples = fixtureExamples(family);
      for (const sharePrompt of [true, false]) {
        for (const score of scoreBatch(model, microBatch(examples, sharePrompt), plain)) {
          const side = score.completion === 0 ? "chosen_token_logps" : "rejected_token_logps";
          assertClose([...score.logps], golden[side]?.[score.index] ?? [], { atol: 2e-5 });
        }
      }
    });
  });

  test(`${family}: losses and gradients of every objective`, { skip }, () => {
    const { losses } = fixtureJson<{ losses: Record<string, LossGolden> }>(family, "losses.json");
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const parameters = trainAll(model);
      const examples = fixtureExamples(family);
      for (const [name, make] of Object.entries(objectives)) {
        const golden = losses[name] as LossGolden;
        const got = record(model, parameters, {
          objective: make(golden.hyper),
          batches: [microBatch(examples)],
        });
        assertClose(got.loss, golden.loss, { rtol: 1e-5 });
        assertGrads(got, golden.grads, (n) => n);
      }
      const answers = examples.map((e) => ({ ...e, completions: e.completions.slice(0, 1) }));
      const sequences = answers.map((e) => ({
        ...e,
        promptIds: e.promptIds.slice(0, 1),
        completions: [{ ids: [...e.promptIds.slice(1), ...(e.completions[0]?.ids ?? [])] }],
      }));
      for (const [name, rows] of Object.entries({
        sft_completion_nll: answers,
        sft_full_sequence_nll: sequences,
      })) {
        const golden = losses[name] as LossGolden;
        const got = record(model, parameters, { objective: sft(), batches: [microBatch(rows)] });
        assertClose(got.loss, golden.loss, { rtol: 1e-5 });
        assertGrads(got, golden.grads, (n) => n);
      }
    });
  });

  test(`${family}: reference-compat gives the authors' trainer's threefold loss`, { skip }, () => {
    const { losses } = fixtureJson<{ losses: Record<string, LossGolden> }>(family, "losses.json");
    const golden = losses["slime_train_script"] as LossGolden;
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const got = record(model, trainAll(model), {
        objective: slimeOf(golden.hyper, true),
        batches: [microBatch(fixtureExamples(family))],
      });
      assertClose(got.loss, golden.compute_loss_as_trainer as number, { rtol: 1e-5 });
    });
  });

  test(`${family}: packing, recomputation, chunk size and micro-batches change nothing`, { skip }, () => {
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const parameters = trainAll(model);
      const examples = fixtureExamples(family);
      const { losses } = fixtureJson<{ losses: Record<string, LossGolden> }>(family, "losses.json");
      const objective = slimeOf((losses["slime_default"] as LossGolden).hyper);
      const whole = record(model, parameters, { objective, batches: [microBatch(examples)] });
      const variants: Record<string, { batches: MicroBatch[]; numerics?: Numerics }> = {
        "no shared prompt": { batches: [microBatch(examples, false)] },
        recompute: { batches: [microBatch(examples)], numerics: { ...plain, recompute: true } },
        "chunks of 5 rows": { batches: [microBatch(examples)], numerics: { ...plain, chunkColumns: 5 } },
        "4 of 1": { batches: examples.map((e, i) => microBatch([e], true, i)) },
      };
      for (const [name, variant] of Object.entries(variants)) {
        const got = record(model, parameters, { objective, ...variant });
        assertClose(got.loss, whole.loss, { rtol: 1e-6 });
        assertClose(got.norm, whole.norm, { rtol: 1e-5 });
        for (const [key, grad] of whole.grads) {
          const size = Math.sqrt(grad.reduce((sum, x) => sum + x * x, 0));
          assertClose(got.grads.get(key) ?? [], grad, { atol: 1e-5 * size + 1e-9 });
        }
        assert.ok(true, name);
      }
    });
  });

  test(`${family}: PEFT adapter logits on, off and merged; SLIME gradients of the adapter`, { skip }, () => {
    withoutLeaks(() => {
      const { model, adapter } = fixtureAdapted(family);
      checkAdapterLogits(family, model, adapter);
      const golden = fixtureJson<LossGolden>(family, "lora", "slime_grads.json");
      const got = record(model, adapterParameters(model), {
        objective: slimeOf(golden.hyper),
        batches: [microBatch(fixtureExamples(family))],
        adapter,
      });
      assertClose(got.loss, golden.loss, { rtol: 1e-5 });
      const nameOf = (name: string) => name.replace(".default", "").replace(".modules_to_save", "");
      assertGrads(got, golden.grads, nameOf);
    });
  });
}

function checkAdapterLogits(family: FixtureFamily, model: CausalLM, adapter: Adapter): void {
  const file = readSafetensorsHeader(fixturePath(family, "lora", "logits.safetensors"));
  const read = mapSafetensors(file);
  const golden = new Map([...file.tensors].map(([name, entry]) => [name, read(entry)]));
  const ids = ops.view(golden.get("input_ids") as Tensor, [-1]);
  const logits = () => {
    using _ = scope();
    const count = ids.size(0);
    const positions = tensor(Int32Array.from({ length: count }, (_, i) => i));
    const stream = {
      ids,
      positions: ops.toDtype(positions, "int64"),
      segments: [{ start: 0, end: count, parent: -1 }],
    };
    return noGrad(() => model.lm_head.forward(model.hiddenStates(stream, "float32")).toNumbers());
  };
  for (const [name, enabled] of [
    ["adapter", true],
    ["disabled", false],
  ] as const) {
    adapter.switch.enabled = enabled;
    assertClose(logits(), (golden.get(`logits_${name}`) as Tensor).toNumbers(), { atol: 5e-5 });
  }
  adapter.switch.enabled = true;
}
