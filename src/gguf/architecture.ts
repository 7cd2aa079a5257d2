/** How llama.cpp describes each model family: the name of its architecture, the keys, and what is done to which tensor. */
import { FormatError } from "../base/errors.ts";
import type { LinearName, ModelConfig, RopeConfig, RopeScaling } from "../formats/model-config.ts";
import { float32, type GgufValue, string, uint32 } from "./values.ts";

/** What is done to a tensor's numbers between a checkpoint and a GGUF file. */
export type TensorChange =
  /** Rows of each head, half by half, interleaved: llama.cpp rotates neighbours, transformers halves. */
  | { kind: "interleave"; heads: number }
  /** (w + add) · times */
  | { kind: "scale"; add: number; times: number }
  /** Only the first rows. */
  | { kind: "cut"; rows: number };

/** A family as llama.cpp has it. */
export interface Architecture {
  /** Prefix of its keys. */
  name: string;
  /** Names of its tensors by those of a block of the checkpoint. */
  blockNames: Readonly<Record<string, string>>;
  /** Keys beside those of every family. */
  keys: Readonly<Record<string, GgufValue>>;
  /** The tensor with what transformers' llama3 scaling divides frequencies by, or null. */
  ropeFactors: Float32Array | null;
  /** What is done to the tensor of this name in the checkpoint, or null. */
  change: (name: string) => TensorChange | null;
  /** Tokens of the longest text that llama.cpp computes as the model does. */
  context: number;
  /** What a user should know. */
  notes: readonly string[];
}

/**
 * The family of `config` as llama.cpp computes it.
 *
 * @throws {FormatError} when llama.cpp would compute something else
 */
export function architectureOf(config: ModelConfig): Architecture {
  const describe = families[config.family];
  if (describe !== undefined) return describe(config);
  throw new FormatError(
    `Expected a model of a family that can be written for llama.cpp (${Object.keys(families).join(", ")}), got ${config.modelType}. ` +
      "No GGUF file is written. Serve the model with preftune serve or vLLM instead.",
  );
}

const linearNames: Readonly<Record<string, string>> = {
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
  input_layernorm: "attn_norm",
};

const plainNames = { ...linearNames, post_attention_layernorm: "ffn_norm" };
const queryNorms = { "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm" };

const families: Readonly<Record<string, (config: ModelConfig) => Architecture>> = {
  llama: llamaArchitecture,
  mistral: llamaArchitecture,
  qwen2: (config) => qwenArchitecture(config, { name: "qwen2", biases: ["q_proj", "k_proj", "v_proj"] }),
  qwen3: (config) => qwenArchitecture(config, { name: "qwen3", biases: [] }),
  gemma3: gemma3Architecture,
};

function llamaArchitecture(config: ModelConfig): Architecture {
  const { headDim, numHeads, numKeyValueHeads, hiddenSize, rope, slidingWindow, maxPositions } = config;
  requireScaling(config, ["none", "linear", "llama3"]);
  const keys: Record<string, GgufValue> = {
    vocab_size: uint32(config.vocabSize),
    "rope.dimension_count": uint32(headDim),
    ...(headDim * numHeads === hiddenSize ? {} : headKeys(config)),
    ...linearScaling(rope.full),
  };
  const heads: Readonly<Record<string, number>> = { q_proj: numHeads, k_proj: numKeyValueHeads };
  const isCut = slidingWindow !== null && slidingWindow < maxPositions;
  return {
    name: "llama",
    blockNames: plainNames,
    keys,
    ropeFactors: ropeFactors(rope.full, headDim),
    change: (name) => {
      const of = heads[/\.self_attn\.([qk]_proj)\./.exec(name)?.[1] ?? ""];
      return of === undefined ? null : { kind: "interleave", heads: of };
    },
    context: isCut ? slidingWindow : maxPositions,
    notes: isCut
      ? [
          `The model attends to a window of ${slidingWindow} tokens. llama.cpp has no window for this family: the file's context ends there, ` +
            "up to which both compute the same.",
        ]
      : [],
  };
}

function qwenArchitecture(
  config: ModelConfig,
  { name, biases }: { name: string; biases: readonly LinearName[] },
): Architecture {
  requireScaling(config, ["none", "linear"]);
  requireBiases(config, biases);
  return {
    name,
    blockNames: { ...plainNames, ...queryNorms },
    keys: { ...headKeys(config), ...linearScaling(config.rope.full) },
    ropeFactors: null,
    change: () => null,
    context: config.maxPositions,
    notes: [],
  };
}

/** Layers of the largest published Gemma 3, which llama.cpp gives a scale of attention of its own. */
const gemma27bLayers = 62;

function gemma3Architecture(config: ModelConfig): Architecture {
  const { rope, headDim, hiddenSize, numHeads, numLayers, slidingWindow, attentionScale } = config;
  requireScaling(config, ["none", "linear"]);
  requireBiases(config, []);
  if (rope.sliding !== null && rope.sliding.scaling.kind !== "none") {
    refuse(config, "scales the positions of its sliding layers");
  }
  const scale = 1 / Math.sqrt(numLayers === gemma27bLayers ? Math.floor(hiddenSize / numHeads) : headDim);
  return {
    name: "gemma3",
    blockNames: {
      ...linearNames,
      ...queryNorms,
      post_attention_layernorm: "post_attention_norm",
      pre_feedforward_layernorm: "ffn_norm",
      post_feedforward_layernorm: "post_ffw_norm",
    },
    keys: {
      ...headKeys(config),
      ...linearScaling(rope.full),
      "rope.freq_base_swa": float32(rope.sliding?.theta ?? rope.full.theta),
      ...(slidingWindow === null ? {} : { "attention.sliding_window": uint32(slidingWindow) }),
      ...slidingPeriod(config),
    },
    ropeFactors: null,
    change: (name) => {
      if (!name.endsWith("norm.weight")) return null;
      // llama.cpp has one scale of attention for each size; another is in the norm of the queries
      return { kind: "scale", add: 1, times: name.endsWith(".q_norm.weight") ? attentionScale / scale : 1 };
    },
    context: config.maxPositions,
    notes: [],
  };
}

/** Which layers slide: all but every n-th. */
function slidingPeriod(config: ModelConfig): Record<string, GgufValue> {
  const { layerKinds } = config;
  const first = layerKinds.indexOf("full");
  const period = first < 0 ? layerKinds.length + 1 : first + 1;
  const isRegular = layerKinds.every((kind, i) => (kind === "full") === ((i + 1) % period === 0));
  if (!isRegular)
    refuse(
      config,
      `has the layers ${layerKinds.join(", ")}, where full ones do not come at every n-th place`,
    );
  return { "attention.sliding_window_pattern": uint32(period) };
}

function headKeys({ headDim }: ModelConfig): Record<string, GgufValue> {
  return { "attention.key_length": uint32(headDim), "attention.value_length": uint32(headDim) };
}

function linearScaling({ scaling }: RopeConfig): Record<string, GgufValue> {
  if (scaling.kind !== "linear") return {};
  return { "rope.scaling.type": string("linear"), "rope.scaling.factor": float32(scaling.factor) };
}

/** What llama3's scaling divides each frequency by, (head width / 2); null for another scaling. */
function ropeFactors({ theta, scaling }: RopeConfig, headDim: number): Float32Array | null {
  if (scaling.kind !== "llama3") return null;
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling;
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const turns = originalMaxPositions / (2 * Math.PI * theta ** ((2 * i) / headDim));
    if (turns > highFreqFactor) return 1;
    if (turns < lowFreqFactor) return factor;
    const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

function requireScaling(config: ModelConfig, kinds: readonly RopeScaling["kind"][]): void {
  const { kind } = config.rope.full.scaling;
  if (!kinds.includes(kind)) refuse(config, `scales positions in the way of ${kind}`);
}

function requireBiases(config: ModelConfig, known: readonly LinearName[]): void {
  const other = config.design.biases.find((name) => !known.includes(name));
  if (other !== undefined) refuse(config, `has a bias on ${other}`);
}

function refuse({ modelType }: ModelConfig, why: string): never {
  throw new FormatError(
    `This ${modelType} model ${why}; llama.cpp cannot compute that for the family, so no GGUF file is written. ` +
      "Serve the model with preftune serve or vLLM instead.",
  );
}
