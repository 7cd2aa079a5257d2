/** Very small models of every family, on weights that follow from the tensors' names, and their checkpoints. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AdapterConfig } from "../../src/formats/adapter-config.ts";
import { parseModelConfig } from "../../src/formats/hf-config.ts";
import { type TensorSource, writeSafetensors } from "../../src/formats/safetensors-write.ts";
import { type Adapter, addAdapter } from "../../src/models/adapt.ts";
import { buildModel } from "../../src/models/build.ts";
import type { CausalLM, Decoder } from "../../src/models/causal-lm.ts";
import { tensorSource } from "../../src/models/save.ts";
import type { Segment } from "../../src/nn/packed-attention.ts";
import { type DType, noGrad, ops, scope, tensor } from "../../src/torch/index.ts";
import { adapterParameters, modelParameters } from "../../src/train/parameters.ts";
import { golden } from "./goldens.ts";
import { neutralNorm, pattern, patternedWeights } from "./patterned.ts";

/** The tiny models by name. */
export const tinyNames = ["llama_tied", "llama_untied", "qwen3", "gemma3"] as const;

/** One of them. */
export type TinyName = (typeof tinyNames)[number];

/** Content of a `config.json`. */
export type ConfigJson = Record<string, unknown>;

interface ModelGoldens {
  logits: Record<TinyName, { config: ConfigJson }>;
}

/** The `config.json` of a tiny model: those that `scripts/write-goldens.py` gave to transformers. */
export function tinyConfig(name: TinyName): ConfigJson {
  return golden<ModelGoldens>("models").logits[name].config;
}

/** A tiny model, with some configuration values changed. */
export function tinyModel(name: TinyName, changes: ConfigJson = {}): CausalLM {
  const config = parseModelConfig({ ...tinyConfig(name), ...changes }, `${name}/config.json`);
  return buildModel(config, patternedWeights(neutralNorm(config)));
}

/** An adapter's settings: rank 4, alpha 8 on the query, value and down projections, with some values changed. */
export function tinyAdapterConfig(changes: Partial<AdapterConfig> = {}): AdapterConfig {
  return {
    rank: 4,
    alpha: 8,
    dropout: 0,
    targetModules: ["q_proj", "v_proj", "down_proj"],
    useRslora: false,
    useDora: false,
    modulesToSave: [],
    baseModel: null,
    bias: "none",
    taskType: "CAUSAL_LM",
    rankPattern: {},
    alphaPattern: {},
    raw: {},
    ...changes,
  };
}

/** Adapts a model and moves every tensor of the adapter away from its start, by its name as the golden script does. */
export function adaptPatterned(model: Decoder, config: AdapterConfig, targets?: string): Adapter {
  const adapter = addAdapter(model, config, targets);
  for (const { name, tensor: parameter } of adapterParameters(model)) {
    const values = tensor(pattern(name, parameter.numel, 0.25), parameter.shape);
    const data = ops.detach(parameter);
    noGrad(() => {
      if (name.includes("lora_magnitude")) ops.mul_(data, ops.add(values, 1));
      else if (name.includes("lora_")) ops.copy_(data, values);
      else ops.add_(data, values);
    });
  }
  return adapter;
}

/** A model's tensors as a checkpoint takes them. */
export function checkpointTensors(model: CausalLM, dtype?: DType): TensorSource[] {
  return modelParameters(model).map((p) => tensorSource(p.name, p.tensor, dtype));
}

/** Writes a model directory of one file. */
export function writeCheckpoint(dir: string, config: ConfigJson, tensors: readonly TensorSource[]): void {
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
  writeSafetensors(join(dir, "model.safetensors"), tensors);
}

/** A directory for one test; removed when `using` ends. */
export function temporaryDirectory(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "preftune-test-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Logits of one sequence, (T · V) flat, in float32. */
export function logitsOf(model: CausalLM, ids: readonly number[], dtype: DType = "float32"): number[] {
  using _ = scope();
  const count = ids.length;
  const positions = tensor(
    ids.map((_, i) => i),
    [count],
    { dtype: "int64" },
  );
  const segments: Segment[] = [{ start: 0, end: count, parent: -1 }];
  const stream = { ids: tensor(ids, [count], { dtype: "int64" }), positions, segments };
  return noGrad(() => {
    return model.logits(model.hiddenStates(stream, dtype)).toNumbers();
  });
}
