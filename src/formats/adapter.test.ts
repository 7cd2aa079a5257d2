/** PEFT adapter directories: the fixtures', one written here, and those that must be refused. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { families, fixturePath } from "../../test/support/fixture-files.ts";
import { ConfigError, FileError, FormatError } from "../base/errors.ts";
import { readAdapter } from "./adapter.ts";
import { type AdapterConfig, adapterConfigJson, loraScale, parseAdapterConfig } from "./adapter-config.ts";
import { adapterPathsIn, loraTensorName, savedModuleName } from "./adapter-names.ts";
import { type TensorSource, writeSafetensors } from "./safetensors-write.ts";

const q0 = "model.layers.0.self_attn.q_proj";

const config: AdapterConfig = {
  rank: 2,
  alpha: 6,
  dropout: 0.05,
  targetModules: ["q_proj"],
  useRslora: false,
  useDora: false,
  modulesToSave: ["lm_head"],
  baseModel: "org/base",
  revision: "v2",
  bias: "none",
  taskType: "CAUSAL_LM",
  rankPattern: {},
  alphaPattern: {},
  raw: {},
};

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "preftune-adapter-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function zeros(name: string, ...shape: number[]): TensorSource {
  const count = shape.reduce((a, b) => a * b, 1);
  return { name, dtype: "F32", shape, bytes: () => new Uint8Array(4 * count) };
}

const soundTensors: TensorSource[] = [
  zeros(loraTensorName(q0, "A"), 2, 5),
  zeros(loraTensorName(q0, "B"), 3, 2),
  zeros(savedModuleName("lm_head", "weight"), 7, 5),
];

function write(settings: Record<string, unknown>, tensors: readonly TensorSource[] = soundTensors): void {
  writeFileSync(join(dir, "adapter_config.json"), JSON.stringify(settings));
  writeSafetensors(join(dir, "adapter_model.safetensors"), tensors);
}

describe("reading", () => {
  for (const model of families) {
    test(`the adapter of ${model}`, () => {
      const adapter = readAdapter(fixturePath(model, "lora"));
      const { rank, alpha, modulesToSave, useDora, baseModel } = adapter.config;
      assert.deepEqual(
        [rank, alpha, modulesToSave, useDora, baseModel],
        [8, 16, ["lm_head"], false, "../model"],
      );
      const layers = model === "gemma3_text" ? 3 : 2;
      assert.equal(adapter.lora.size, layers * 7);
      assert.deepEqual(adapter.lora.get("model.layers.1.mlp.down_proj")?.A.shape, [8, 160]);
      assert.deepEqual(adapter.lora.get("model.layers.1.mlp.down_proj")?.B.shape, [64, 8]);
      assert.deepEqual([...adapter.saved.keys()], ["lm_head.weight"]);
    });
  }

  test("what was written here", () => {
    write(adapterConfigJson(config));
    const { raw, ...read } = readAdapter(dir).config;
    const { raw: _, ...written } = config;
    assert.deepEqual(read, written);
    assert.deepEqual(raw, adapterConfigJson(config));
  });

  test("targets that are no plain list become the modules of the file", () => {
    for (const settings of [
      { target_modules: ".*q_proj" },
      { target_modules: "all-linear" },
      { target_modules: "((a+)+)+!" },
      { target_modules: ["q_proj"], layers_to_transform: [0] },
      { target_modules: ["q_proj"], exclude_modules: "lm_head" },
    ]) {
      rmSync(join(dir, "adapter_model.safetensors"), { force: true });
      write({ ...adapterConfigJson(config), ...settings });
      assert.deepEqual(readAdapter(dir).config.targetModules, [q0]);
    }
  });

  test("DoRA", () => {
    const magnitude = zeros(loraTensorName(q0, "magnitude"), 3);
    write(adapterConfigJson({ ...config, useDora: true }), [...soundTensors, magnitude]);
    assert.deepEqual(readAdapter(dir).lora.get(q0)?.magnitude?.shape, [3]);
  });
});

describe("scales", () => {
  test("alpha / rank, and alpha / sqrt(rank) for rsLoRA", () => {
    assert.deepEqual(loraScale({ ...config, rank: 4 }, q0), { rank: 4, alpha: 6, scale: 1.5 });
    assert.deepEqual(loraScale({ ...config, rank: 4, useRslora: true }, q0), { rank: 4, alpha: 6, scale: 3 });
  });

  test("patterns by name, by path and by expression; the first match counts", () => {
    const patterns = {
      ...config,
      rankPattern: { "layers.1.self_attn.q_proj": 8, q_proj: 3, "layers\\.\\d+\\.mlp\\.up_proj": 5 },
      alphaPattern: { "^model.layers.0.*": 9 },
    };
    const rank = (module: string): number => loraScale(patterns, module).rank;
    assert.equal(rank(q0), 3);
    assert.equal(rank("model.layers.1.self_attn.q_proj"), 8);
    assert.equal(rank("model.layers.1.mlp.up_proj"), 5);
    assert.equal(rank("model.layers.1.mlp.xq_proj"), 2);
    assert.deepEqual(loraScale({ ...patterns, alphaPattern: { "model.layers.0.*": 9 } }, q0).scale, 3);
  });
});

describe("adapters of a multimodal model's class", () => {
  // PEFT 0.21's `scaling` of q_proj in the two layers of a Gemma3ForConditionalGeneration with r 4 and lora_alpha 8
  const cases: [string, Record<string, number>, number[]][] = [
    ["a whole path", { "model.language_model.layers.0.self_attn.q_proj": 64 }, [16, 2]],
    [
      "an expression over the whole path",
      { [String.raw`model\.language_model\.layers\.\d+\..*`]: 64 },
      [16, 16],
    ],
    ["the end of a path", { [String.raw`layers\.0\.self_attn\.q_proj`]: 64 }, [16, 2]],
    [
      "the path of a text model, which names nothing there",
      { "model.layers.0.self_attn.q_proj": 64 },
      [2, 2],
    ],
  ];
  const at = (layer: number, part: "A" | "B") =>
    loraTensorName(`model.language_model.layers.${layer}.self_attn.q_proj`, part);
  const tensorsOf = (rank: (layer: number) => number) =>
    [0, 1].flatMap((layer) => [zeros(at(layer, "A"), rank(layer), 5), zeros(at(layer, "B"), 3, rank(layer))]);
  const modules = [q0, "model.layers.1.self_attn.q_proj"];
  const settings = { ...adapterConfigJson({ ...config, rank: 4, alpha: 8, modulesToSave: [] }) };

  for (const [name, pattern, scales] of cases) {
    test(`alpha_pattern: ${name}`, () => {
      write(
        { ...settings, alpha_pattern: pattern },
        tensorsOf(() => 4),
      );
      const read = readAdapter(dir).config;
      assert.deepEqual(
        modules.map((module) => loraScale(read, module).scale),
        scales,
      );
    });
  }

  test("rank_pattern, and written again for either class", () => {
    const rankPattern = { [String.raw`.*language_model\.layers\.1\..*`]: 2 };
    write(
      { ...settings, rank_pattern: rankPattern },
      tensorsOf((layer) => 4 - 2 * layer),
    );
    const read = readAdapter(dir).config;
    assert.deepEqual(read.rankPattern, { "model.layers.1.self_attn.q_proj": 2 });
    const adapter = { config: read, targets: modules, saved: ["lm_head", "model.embed_tokens"] };
    assert.deepEqual(adapterPathsIn(adapter, false).config, read);
    const whole = adapterPathsIn(adapter, true).config;
    assert.deepEqual(whole.rankPattern, { "model.language_model.layers.1.self_attn.q_proj": 2 });
    assert.deepEqual(whole.modulesToSave, ["lm_head", "model.language_model.embed_tokens"]);
  });
});

describe("writing", () => {
  test("only keys that PEFT 0.10 knows, with the meaning they have there", () => {
    assert.deepEqual(adapterConfigJson(config, { revision: "abc" }), {
      alpha_pattern: {},
      auto_mapping: null,
      base_model_name_or_path: "org/base",
      bias: "none",
      fan_in_fan_out: false,
      inference_mode: true,
      init_lora_weights: true,
      layer_replication: null,
      layers_pattern: null,
      layers_to_transform: null,
      loftq_config: {},
      lora_alpha: 6,
      lora_dropout: 0.05,
      megatron_config: null,
      megatron_core: "megatron.core",
      modules_to_save: ["lm_head"],
      peft_type: "LORA",
      r: 2,
      rank_pattern: {},
      revision: "abc",
      target_modules: ["q_proj"],
      task_type: "CAUSAL_LM",
      use_dora: false,
      use_rslora: false,
    });
    assert.throws(() => adapterConfigJson({ ...config, targetModules: [] }), ConfigError);
  });
});

test("keys that say how an adapter was made, of any version, are known where they are set", () => {
  const peft = JSON.parse(readFileSync(fixturePath("llama_tied", "lora", "adapter_config.json"), "utf8"));
  const set = {
    eva_config: { rho: 2 },
    corda_config: { verbose: true },
    lora_ga_config: { scale: "stable" },
  };
  const other = { velora_config: { scale: 1 }, loftq_config: { loftq_bits: 4 }, megatron_config: { a: 1 } };
  const older = { enable_lora: null, merge_weights: true, runtime_config: { ephemeral_gpu_offload: true } };
  const json = {
    ...peft,
    ...set,
    ...other,
    ...older,
    revision: "main",
    auto_mapping: { parent_library: "x" },
  };
  for (const initLoraWeights of [true, "eva", "mica"])
    assert.equal(
      parseAdapterConfig({ ...json, init_lora_weights: initLoraWeights }, "adapter_config.json").config.rank,
      8,
    );
});

describe("settings that are refused", () => {
  const cases: [string, Record<string, unknown>, RegExp][] = [
    ["another method", { peft_type: "VERA" }, /peft_type: expected "LORA", got "VERA"\. .*Merge it in PEFT/],
    ["another task", { task_type: "TOKEN_CLS" }, /task_type: expected "CAUSAL_LM"/],
    ["biases", { bias: "lora_only" }, /bias: expected "none", got "lora_only"/],
    ["aLoRA", { alora_invocation_tokens: [1, 2] }, /activated LoRA \(aLoRA\) is not supported/],
    ["replicated layers", { layer_replication: [[0, 4]] }, /layer replication is not supported/],
    ["transposed weights", { fan_in_fan_out: true }, /fan_in_fan_out\) is not supported/],
    ["a LoRA bias", { lora_bias: true }, /lora_bias\) is not supported/],
    ["QALoRA", { use_qalora: true }, /QALoRA is not supported/],
    ["block-diagonal", { use_bdlora: { nblocks: 2 } }, /block-diagonal LoRA is not supported/],
    ["parameters", { target_parameters: ["experts.up"] }, /targeted parameters is not supported/],
    ["trainable tokens", { trainable_token_indices: [1] }, /trainable tokens is not supported/],
    [
      "PiSSA",
      { init_lora_weights: "pissa_niter_16" },
      /leaves the base weights alone, got "pissa_niter_16".*Convert/,
    ],
    [
      "a key that PEFT does not have",
      { lora_alphas: 64 },
      /lora_alphas: expected a key of LoRA's settings in PEFT, got 64\. .*Did you mean "lora_alpha"\?/,
    ],
    [
      "merged fused projections",
      { enable_lora: [true, false, true] },
      /enable_lora: expected a key of LoRA's/,
    ],
    ["rank 0", { r: 0 }, /r: expected an integer from 1/],
    ["broken alpha", { lora_alpha: -1 }, /lora_alpha: expected a number above 0/],
    ["broken dropout", { lora_dropout: 1 }, /lora_dropout: expected a number from 0 to below 1, got 1/],
    [
      "broken pattern",
      { rank_pattern: { q_proj: 0 } },
      /rank_pattern\.q_proj: expected a number above 0, got 0/,
    ],
    ["no targets", { target_modules: [] }, /target_modules: expected a list of module names/],
    ["targets of another kind", { target_modules: [1] }, /target_modules: expected a list of strings/],
  ];
  for (const [name, settings, message] of cases) {
    test(name, () => {
      const json = { ...adapterConfigJson(config), ...settings };
      assert.throws(
        () => parseAdapterConfig(json, "adapter_config.json"),
        (error: unknown) => {
          assert(error instanceof FormatError, String(error));
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }
});

describe("directories that are refused", () => {
  const [a, b, head] = soundTensors as [TensorSource, TensorSource, TensorSource];
  const cases: [string, Partial<AdapterConfig>, TensorSource[], RegExp][] = [
    ["no LoRA", {}, [head], /expected LoRA tensors, got none/],
    ["half a module", {}, [a, head], /module "model\.layers\.0\.self_attn\.q_proj" has no lora_B/],
    ["another rank", { rank: 4 }, [a, b, head], /lora_A\.weight": expected shape \[4, in\], got \[2, 5\]/],
    [
      "B of another rank",
      {},
      [a, zeros(b.name, 3, 4), head],
      /lora_B\.weight": expected shape \[out, 2\], got \[3, 4\]/,
    ],
    ["no saved module", {}, [a, b], /expected the weights of "lm_head", which modules_to_save names/],
    [
      "a head that no setting names, as PEFT saves it beside a changed vocabulary",
      { modulesToSave: [] },
      [a, b, head],
      /lm_head\.weight": expected weights of modules that modules_to_save names.* merge it in PEFT \(merge_and_unload\)/,
    ],
    [
      "a norm that is trained in full",
      { modulesToSave: ["norm"] },
      [a, b, zeros(savedModuleName("model.layers.0.input_layernorm", "weight"), 5)],
      /expected modules_to_save to name linears and embeddings, got "model\.layers\.0\.input_layernorm", whose weight has shape \[5\]/,
    ],
    [
      "LoRA on the head",
      { modulesToSave: [] },
      [a, b, zeros(loraTensorName("lm_head", "A"), 2, 5), zeros(loraTensorName("lm_head", "B"), 7, 2)],
      /expected LoRA on linears of blocks, got it on lm_head/,
    ],
    [
      "DoRA without magnitude",
      { useDora: true },
      [a, b, head],
      /use_dora is true, but .* has no lora_magnitude_vector/,
    ],
    [
      "magnitude without DoRA",
      {},
      [a, b, head, zeros(loraTensorName(q0, "magnitude"), 3)],
      /use_dora is false, but/,
    ],
    [
      "magnitude of another size",
      { useDora: true },
      [a, b, head, zeros(loraTensorName(q0, "magnitude"), 4)],
      /expected shape \[3\], got \[4\]/,
    ],
    [
      "embedding factors",
      {},
      [a, b, head, zeros("base_model.model.model.embed_tokens.lora_embedding_A", 2, 7)],
      /lora_embedding_A": expected lora_A/,
    ],
  ];
  for (const [name, settings, tensors, message] of cases) {
    test(name, () => {
      write(adapterConfigJson({ ...config, ...settings }), tensors);
      assert.throws(
        () => readAdapter(dir),
        (error: unknown) => {
          assert(error instanceof FormatError, String(error));
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }

  test("missing files and a pickle", () => {
    assert.throws(() => readAdapter(dir), FileError);
    writeFileSync(join(dir, "adapter_config.json"), JSON.stringify(adapterConfigJson(config)));
    assert.throws(() => readAdapter(dir), /adapter_model\.safetensors: the adapter's tensors are missing/);
    writeFileSync(join(dir, "adapter_model.bin"), "x");
    assert.throws(() => readAdapter(dir), /got the pickle adapter_model\.bin\. .*never opened here/);
  });
});
