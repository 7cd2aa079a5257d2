/** QLoRA against PEFT on the models that bitsandbytes quantised and transformers saved: a step's loss and gradients; what loading gives. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { readAdapter } from "../../src/formats/adapter.ts";
import { blockLinears } from "../../src/formats/block-linears.ts";
import { type Quantisation, quantisedBytes } from "../../src/formats/quantisation.ts";
import { loadModel } from "../../src/models/load.ts";
import { installAdapter } from "../../src/models/load-adapter.ts";
import { isDense, isProjection, namedModules, namedTensors } from "../../src/nn/module.ts";
import type { ParameterSet } from "../../src/nn/parameter-set.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { adapterParameters } from "../../src/train/parameters.ts";
import { trainStep } from "../../src/train/step.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import { type FixtureFamily, fixtureExamples, fixturePath } from "../support/fixture-files.ts";
import { microBatch } from "../support/fixtures.ts";
import { golden } from "../support/goldens.ts";
import { scriptSlime } from "../support/tiny-training.ts";

interface Step {
  family: FixtureFamily;
  loss: number;
  /** Norm, and every fifth number in base 64. */
  gradients: Record<string, { norm: number; numbers: string }>;
}
const { training } = golden<{ training: Record<"nf4" | "int8", Step> }>("quantised");
const forms: Record<"nf4" | "int8", Quantisation> = {
  nf4: { bits: 4, quantType: "nf4", doubleQuant: true, skipModules: [] },
  int8: { bits: 8, skipModules: [] },
};
const savedPath = (form: string): string => join(import.meta.dirname, "../fixtures/bitsandbytes", form);

/** Keeps the gradients of a step and changes nothing. */
class KeptGradients extends AdamW {
  readonly found = new Map<string, number[]>();
  readonly #of: ParameterSet;

  constructor(of: ParameterSet) {
    super([], { adam_beta1: 0, adam_beta2: 0, adam_epsilon: 0, weight_decay: 0 });
    this.#of = of;
  }

  override step(): void {
    for (const { name, tensor } of this.#of) this.found.set(name, tensor.grad?.toNumbers() ?? []);
  }
}

for (const form of ["nf4", "int8"] as const) {
  const { family, loss, gradients } = training[form];
  for (const source of ["as bitsandbytes saved it", "quantised while it is loaded"] as const) {
    const isSaved = source === "as bitsandbytes saved it";
    test(`${form}, ${source}: a step of LoRA has PEFT's loss and gradients`, () => {
      withoutLeaks(() => {
        const model = isSaved
          ? loadModel(savedPath(form))
          : loadModel(fixturePath(family, "model"), { quantise: forms[form] });
        const adapter = installAdapter(model, readAdapter(fixturePath(family, "lora")));
        const parameters = adapterParameters(model);
        const optimizer = new KeptGradients(parameters);
        const numerics = {
          dtype: "float32",
          gradient_checkpointing: isSaved,
          logits_chunk_size: null,
        } as const;
        const training = {
          model,
          adapter,
          parameters,
          optimizer,
          numerics,
          objective: scriptSlime,
          reference: null,
        };
        const step = { learningRate: 0, seed: 1, log_entropy: false };
        const batch = microBatch(fixtureExamples(family));
        const result = trainStep({ ...training, max_grad_norm: 0 }, [batch], step);
        assertClose(result.loss, loss, { rtol: 1e-5 });
        assert.ok(Object.keys(gradients).length >= 28);
        for (const [name, { norm, numbers }] of Object.entries(gradients)) {
          const grad = optimizer.found.get(name) ?? [];
          const bytes = Buffer.from(numbers, "base64");
          const want = Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
          const got = grad.filter((_, i) => i % 5 === 0);
          assertClose(Math.hypot(...grad), norm, { rtol: 1e-5 });
          assertClose(got, want, { atol: 1e-5 * norm });
        }
      });
    });
  }

  test(`${form}: the blocks' linears hold no matrix, and what they stand for is the same however it came`, () => {
    withoutLeaks(() => {
      const [saved, made] = [
        loadModel(savedPath(form)),
        loadModel(fixturePath(family, "model"), { quantise: forms[form] }),
      ];
      const linears = [...namedModules(made)].filter(({ module }) => isProjection(module));
      assert.deepEqual(
        linears.flatMap(({ path, module }) => (isProjection(module) && isDense(module) ? [path] : [])),
        ["lm_head"],
      );
      const theirs = new Map([...namedModules(saved)].map(({ path, module }) => [path, module]));
      for (const { path, module } of linears) {
        const other = theirs.get(path);
        assert.ok(other !== undefined && isProjection(other) && isProjection(module));
        assertClose(module.dense("float32"), other.dense("float32").toNumbers(), { rtol: 1e-6, atol: 1e-8 });
      }
      const size = { uint8: 1, int8: 1, float32: 4 } as Record<string, number>;
      const held = [...namedTensors(made)].filter(([name]) => name.includes("_proj."));
      const bytes = held.reduce((sum, [, tensor]) => sum + tensor.numel * (size[tensor.dtype] ?? 8), 0);
      const counted = blockLinears(made.config, 0).map((linear) => quantisedBytes(forms[form], linear));
      assert.equal(bytes, made.config.numLayers * counted.reduce((a, b) => a + b, 0));
    });
  });
}

test("linears that are left out stay matrices", () => {
  withoutLeaks(() => {
    const quantise = { ...forms.int8, skipModules: ["down_proj", "model.layers.1"] };
    const model = loadModel(fixturePath("llama_tied", "model"), { quantise });
    const held = [...namedModules(model)].flatMap(({ path, module }) =>
      isProjection(module) && !isDense(module) ? [path] : [],
    );
    const names = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"];
    const left = [...names, "mlp.gate_proj", "mlp.up_proj"].map((name) => `model.layers.0.${name}`);
    assert.deepEqual(held, left);
  });
});
