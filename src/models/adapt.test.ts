/** Putting adapters into models: what is adapted, what is trained, and what is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import {
  adaptPatterned,
  logitsOf,
  tinyAdapterConfig,
  tinyModel,
  tinyNames,
} from "../../test/support/tiny-models.ts";
import { ConfigError } from "../base/errors.ts";
import type { AdapterConfig } from "../formats/adapter-config.ts";
import { LoraLinear, SavedLinear } from "../nn/lora.ts";
import { namedTensors } from "../nn/module.ts";
import { adapterParameters } from "../train/parameters.ts";
import { adapterTensors, addAdapter } from "./adapt.ts";

const ids = [1, 9, 30, 4, 4, 17];

test("targets are replaced, and only the adapter's tensors require grad", () => {
  withoutLeaks(() => {
    const model = tinyModel("llama_tied");
    const adapter = addAdapter(model, tinyAdapterConfig());
    assert.deepEqual(adapter.targets, [
      "model.layers.0.self_attn.q_proj",
      "model.layers.0.self_attn.v_proj",
      "model.layers.0.mlp.down_proj",
      "model.layers.1.self_attn.q_proj",
      "model.layers.1.self_attn.v_proj",
      "model.layers.1.mlp.down_proj",
    ]);
    assert.deepEqual(adapter.saved, []);
    const trained = [...namedTensors(model)].filter(([, t]) => t.requiresGrad).map(([name]) => name);
    assert.deepEqual(
      trained,
      adapter.targets.flatMap((path) => [`${path}.lora_A`, `${path}.lora_B`]),
    );
    assert.deepEqual(
      adapterParameters(model)
        .shards.slice(0, 2)
        .map((p) => p.name),
      ["A", "B"].map((part) => `base_model.model.model.layers.0.self_attn.q_proj.lora_${part}.weight`),
    );
  });
});

for (const name of tinyNames) {
  test(`${name}: a new adapter changes nothing; switched off, a trained one does not either`, () => {
    withoutLeaks(() => {
      const want = logitsOf(tinyModel(name), ids);
      const config = tinyAdapterConfig({
        targetModules: ["all"],
        modulesToSave: ["lm_head", "embed_tokens"],
      });
      const fresh = tinyModel(name);
      addAdapter(fresh, config, "all-linear");
      assert.deepEqual(logitsOf(fresh, ids), want);
      const model = tinyModel(name);
      const adapter = adaptPatterned(model, { ...config, targetModules: ["q_proj", "o_proj", "gate_proj"] });
      assert.notDeepEqual(logitsOf(model, ids), want);
      adapter.switch.enabled = false;
      assert.deepEqual(logitsOf(model, ids), want);
    });
  });
}

test("all-linear is every linear but the head; an expression must match the whole path", () => {
  withoutLeaks(() => {
    const linears = (targets: string) =>
      addAdapter(tinyModel("qwen3"), tinyAdapterConfig(), targets).targets.length;
    assert.equal(linears("all-linear"), 2 * 7);
    assert.equal(linears(String.raw`.*\.1\.mlp\.(up|gate)_proj`), 2);
    assert.throws(() => linears("q_proj"), /matches no linear/);
  });
});

test("ranks and alphas of single modules follow the patterns", () => {
  withoutLeaks(() => {
    const model = tinyModel("llama_tied");
    addAdapter(model, tinyAdapterConfig({ rankPattern: { "layers.1.self_attn.q_proj": 2 } }));
    const ranks = [...adapterTensors(model)].filter(([p]) => p.part === "A").map(([, t]) => t.size(0));
    assert.deepEqual(ranks, [4, 4, 4, 2, 4, 4]);
  });
});

test("DoRA has a magnitude beside A and B; a saved head is a copy", () => {
  withoutLeaks(() => {
    const model = tinyModel("llama_tied");
    const adapter = addAdapter(model, tinyAdapterConfig({ useDora: true, modulesToSave: ["lm_head"] }));
    assert.deepEqual(adapter.saved, ["lm_head"]);
    const parts = [...adapterTensors(model)].map(([p]) => p.part);
    assert.deepEqual(parts.slice(0, 3), ["A", "B", "magnitude"]);
    assert.equal(parts.at(-1), "saved");
    assert.ok(model.lm_head instanceof SavedLinear);
    assert.notEqual(model.lm_head.weight, model.model.embed_tokens.weight);
    assert.deepEqual(model.lm_head.weight.toNumbers(), model.model.embed_tokens.weight.toNumbers());
    assert.equal(model.model.embed_tokens.weight.requiresGrad, false);
  });
});

test("a module to save is not adapted as well", () => {
  withoutLeaks(() => {
    const model = tinyModel("llama_tied");
    const adapter = addAdapter(model, tinyAdapterConfig({ modulesToSave: ["q_proj"] }));
    assert.equal(adapter.saved.length, 2);
    assert.ok(adapter.targets.every((path) => !path.endsWith("q_proj")));
  });
});

test("a linear's bias is saved with its weight, as it starts", () => {
  withoutLeaks(() => {
    const model = tinyModel("llama_tied", { model_type: "qwen2", rope_scaling: null });
    const want = logitsOf(model, ids);
    const config = tinyAdapterConfig({ targetModules: ["v_proj"], modulesToSave: ["q_proj", "up_proj"] });
    addAdapter(model, config);
    assert.deepEqual(logitsOf(model, ids), want);
    assert.deepEqual(
      [...adapterParameters(model)]
        .map(({ name }) => name)
        .filter((name) => /layers\.0.*(?:q|up)_proj/.test(name)),
      ["self_attn.q_proj.weight", "self_attn.q_proj.bias", "mlp.up_proj.weight"].map(
        (name) => `base_model.model.model.layers.0.${name}`,
      ),
    );
  });
});

const refused: [string, Partial<AdapterConfig>, RegExp][] = [
  [
    "no match",
    { targetModules: ["query"] },
    /lora_target_modules matches no linear of this model; its linears are q_proj, k_proj, .*down_proj, lm_head/,
  ],
  [
    "the head as a target",
    { targetModules: ["q_proj", "lm_head"] },
    /lm_head cannot be a LoRA target.*lora_modules_to_save: \["lm_head"\]/,
  ],
  [
    "an unknown module to save",
    { modulesToSave: ["lm_heads"] },
    /lora_modules_to_save names "lm_heads", which is no linear .*; those are embed_tokens, q_proj, .*lm_head\. Did you mean "lm_head"\?/,
  ],
  [
    "a norm to save",
    { modulesToSave: ["norm"] },
    /lora_modules_to_save names "norm", which is no linear and no embedding of this model; those are .*(?<!"norm"\?)$/,
  ],
];

for (const [what, changes, message] of refused) {
  test(`refused: ${what}; the model is left as it was`, () => {
    withoutLeaks(() => {
      const model = tinyModel("llama_untied");
      assert.throws(
        () => addAdapter(model, tinyAdapterConfig(changes)),
        (error: unknown) => {
          assert.ok(error instanceof ConfigError, String(error));
          assert.match(error.message, message);
          return true;
        },
      );
      assert.deepEqual(logitsOf(model, ids), logitsOf(tinyModel("llama_untied"), ids));
      assert.deepEqual([...adapterTensors(model)], []);
      assert.ok(!(model.lm_head instanceof LoraLinear));
    });
  });
}
