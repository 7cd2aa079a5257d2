/**
 * A projection that holds no matrix, int8 rows and a scale, in place of every linear of the blocks: it is adapted, trained,
 * merged and saved as the model with the same weights in float32 is.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packExamples } from "../../src/data/packing.ts";
import type { AdapterConfig } from "../../src/formats/adapter-config.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { loadModel } from "../../src/models/load.ts";
import { writeMergedModel } from "../../src/models/save.ts";
import { Linear } from "../../src/nn/linear.ts";
import { isDense, isProjection, namedModules, type Projection } from "../../src/nn/module.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { type DType, noGrad, ops, type Tensor } from "../../src/torch/index.ts";
import { adapterParameters } from "../../src/train/parameters.ts";
import { type Training, trainStep } from "../../src/train/step.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import {
  adaptPatterned,
  logitsOf,
  type TinyName,
  temporaryDirectory,
  tinyAdapterConfig,
  tinyModel,
} from "../support/tiny-models.ts";
import { scriptSlime } from "../support/tiny-training.ts";

/** W ≈ scale · rows, both of them tensors of the module; the matrix is made when it is asked for. */
class Int8Linear implements Projection {
  readonly bias: Tensor | null;
  /** (out, in) int8 */
  readonly rows: Tensor;
  /** (out, 1) float32 */
  readonly scale: Tensor;

  constructor({ weight, bias }: Linear) {
    this.bias = bias;
    this.scale = ops.mul(ops.amax(ops.cat([weight, ops.neg(weight)], 1), [1], true), 1 / 127);
    this.rows = ops.to(ops.div(weight, this.scale), "int8");
  }

  get shape(): readonly [number, number] {
    return [this.rows.size(0), this.rows.size(1)];
  }

  get device(): string {
    return this.rows.device;
  }

  dense(dtype: DType): Tensor {
    return ops.to(ops.mul(ops.to(this.rows, "float32"), this.scale), dtype);
  }

  forward(x: Tensor): Tensor {
    return ops.linear(x, this.dense(x.dtype), this.bias);
  }
}

/** The linears of the blocks replaced by what `make` gives; the head stays a matrix. */
function replaced(name: TinyName, make: (linear: Linear) => Projection): CausalLM {
  const model = tinyModel(name);
  for (const { path, module, owner, key } of [...namedModules(model)]) {
    if (module instanceof Linear && path !== "lm_head") owner[key] = noGrad(() => make(module));
  }
  return model;
}

const quantised = (name: TinyName) => replaced(name, (linear) => new Int8Linear(linear));

/** The same numbers, as matrices. */
const dense = (name: TinyName) =>
  replaced(name, (linear) => new Linear(new Int8Linear(linear).dense("float32"), linear.bias));

const origin = { file: "quantised.test.ts", line: 1 };
const batch = {
  packed: packExamples([
    { origin, promptIds: [3, 7, 1, 9], completions: [{ ids: [12, 5, 2] }, { ids: [6, 8, 21, 2] }] },
    { origin, promptIds: [8, 4], completions: [{ ids: [21, 2] }, { ids: [17, 11, 2] }] },
  ]),
  indices: [0, 1],
};

/** Two steps; the losses, and every trained number after them. */
function trained(
  model: CausalLM,
  config: AdapterConfig,
): { losses: number[]; values: Map<string, number[]> } {
  const adapter = adaptPatterned(model, config);
  const parameters = adapterParameters(model);
  const training: Training = {
    ...{ model, adapter, parameters, objective: scriptSlime },
    optimizer: new AdamW(parameters, {
      adam_beta1: 0.9,
      adam_beta2: 0.999,
      adam_epsilon: 1e-3,
      weight_decay: 0.1,
    }),
    numerics: { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null },
    max_grad_norm: 1,
    reference: null,
  };
  const step = (seed: number) =>
    trainStep(training, [batch], { learningRate: 0.01, seed, log_entropy: false }).loss;
  const losses = [step(1), step(2)];
  return { losses, values: new Map(parameters.shards.map((p) => [p.name, p.tensor.toNumbers()])) };
}

/** The bytes of the merged model, written to a directory `name`. */
function merged(parent: string, name: string, model: CausalLM): { dir: string; weights: Buffer } {
  const dir = join(parent, name);
  mkdirSync(dir);
  writeMergedModel(dir, model, "float32");
  return { dir, weights: readFileSync(join(dir, "model.safetensors")) };
}

/** Without dropout and DoRA a matrix has a separate kernel, whose sums have another order. */
const cases: [string, TinyName, Partial<AdapterConfig>, { atol: number }][] = [
  ["LoRA", "llama_untied", {}, { atol: 2e-5 }],
  ["LoRA with dropout", "qwen3", { dropout: 0.2 }, { atol: 0 }],
  ["DoRA", "gemma3", { useDora: true }, { atol: 0 }],
  ["LoRA and copies", "llama_tied", { dropout: 0.2, modulesToSave: ["o_proj", "lm_head"] }, { atol: 0 }],
];

for (const [what, name, changes, tolerance] of cases) {
  test(`${what}, ${name}: int8 rows train, merge and save as their matrices do`, () => {
    using directory = temporaryDirectory();
    withoutLeaks(() => {
      const config = tinyAdapterConfig(changes);
      const [model, twin] = [quantised(name), dense(name)];
      const held = [...namedModules(model)].filter(({ module }) => isProjection(module) && isDense(module));
      assert.deepEqual(
        held.map(({ path }) => path),
        ["lm_head"],
        "a matrix is left in the blocks: the test would see nothing",
      );
      const [got, want] = [trained(model, config), trained(twin, config)];
      assertClose(got.losses, want.losses, tolerance);
      assert.notEqual(want.losses[0], want.losses[1]);
      assert.deepEqual([...got.values.keys()], [...want.values.keys()]);
      for (const [parameter, values] of want.values)
        assertClose(got.values.get(parameter) ?? [], values, tolerance);
      const ids = [3, 7, 1, 9, 12, 5, 2];
      assertClose(logitsOf(model, ids), logitsOf(twin, ids), { atol: 10 * tolerance.atol });
      const files = merged(directory.path, "int8", model);
      if (tolerance.atol === 0)
        assert.ok(files.weights.equals(merged(directory.path, "dense", twin).weights), "the same bytes");
      assertClose(logitsOf(loadModel(files.dir), ids), logitsOf(model, ids), { atol: 1e-4 });
    });
  });
}

test("adapters off: int8 rows alone act, in products and in what is merged", () => {
  withoutLeaks(() => {
    const model = quantised("llama_tied");
    const alone = logitsOf(model, [3, 7, 1]);
    const config = tinyAdapterConfig({ modulesToSave: ["o_proj"] });
    const adapter = adaptPatterned(model, config);
    assert.notDeepEqual(logitsOf(model, [3, 7, 1]), alone);
    adapter.switch.enabled = false;
    assert.deepEqual(logitsOf(model, [3, 7, 1]), alone);
  });
});
