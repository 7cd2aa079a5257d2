/** How llama.cpp describes a model: the name of its architecture, the keys, and what is done to which tensor. What it knows of a family is in the family's file. */
import { FormatError } from "../base/errors.ts";
import type { LlamaCppForm } from "../formats/families/family.ts";
import { families, titlesOf } from "../formats/families/index.ts";
import {
  contextLength,
  type DecoderDesign,
  type ModelConfig,
  type RopeConfig,
} from "../formats/model-config.ts";
import { float32, type GgufValue, string, uint32 } from "./values.ts";

/** What is done to a tensor's numbers between a checkpoint and a GGUF file. */
export type TensorChange =
  /** Rows of each head, half by half, interleaved: llama.cpp rotates neighbours, transformers halves. */
  | { kind: "interleave"; heads: number }
  /** (w + add) · times */
  | { kind: "scale"; add: number; times: number }
  /** Only the first rows. */
  | { kind: "cut"; rows: number };

/** A model as llama.cpp has it. */
export interface Architecture {
  /** Prefix of its keys. */
  name: string;
  /** Names of its tensors by those of a block of the checkpoint. */
  blockNames: Readonly<Record<string, string>>;
  /** Keys beside those of every family. */
  keys: Readonly<Record<string, GgufValue>>;
  /** Tensors with what frequencies are divided by, by their names. */
  ropeFactors: Readonly<Record<string, Float32Array>>;
  /** What is done to the tensor of this name in the checkpoint, or null. */
  change: (name: string) => TensorChange | null;
  /** Whether the embedding is written a second time, as the head that a file has to have. */
  repeatsEmbedding: boolean;
  /** Tokens of the longest text that llama.cpp computes as the model does. */
  context: number;
  /** What a user should know. */
  notes: readonly string[];
}

/**
 * What llama.cpp has of the family of `config`.
 *
 * @throws {FormatError} when it does not know it
 */
export function formOf(config: ModelConfig): LlamaCppForm {
  const known = families.filter(({ llamaCpp }) => llamaCpp !== null);
  const form = known.find(({ name }) => name === config.family)?.llamaCpp;
  if (form !== undefined && form !== null) return form;
  throw new FormatError(
    `Expected a model of a family that can be written for llama.cpp (${titlesOf(known)}), got ${config.modelType}. ` +
      "No GGUF file is written. Serve the model with preftune serve or vLLM instead.",
  );
}

/**
 * The model of `config` as llama.cpp computes it.
 *
 * @param config - its `tieWordEmbeddings` that of what is written, where a head was trained over a tied model
 * @throws {FormatError} when llama.cpp would compute something else
 */
export function architectureOf(config: ModelConfig): Architecture {
  const form = formOf(config);
  requireComputable(config, form);
  const { rope, headDim, slidingWindow } = config;
  const context = contextLength(config);
  const isCut = form.windows === "none" && slidingWindow !== null && slidingWindow < context;
  return {
    name: form.name,
    blockNames: { ...linearNames[config.design.linears], ...normNames[config.design.norms], ...queryNorms },
    keys: {
      ...(form.cutsEmbedding ? {} : { vocab_size: uint32(config.vocabSize) }),
      "rope.dimension_count": uint32(Math.trunc(headDim * rope.full.share)),
      "attention.key_length": uint32(headDim),
      "attention.value_length": uint32(headDim),
      ...scalingKeys(rope.full),
      ...(rope.sliding === null ? {} : { "rope.freq_base_swa": float32(rope.sliding.theta) }),
      ...windowKeys(config, form),
      ...factorKeys(config, form),
      ...capKeys(config, form),
    },
    ropeFactors: ropeFactors(rope.full, headDim),
    change: changeOf(config, form),
    repeatsEmbedding: form.head === "separate" && config.tieWordEmbeddings,
    context: isCut ? slidingWindow : context,
    notes: [
      ...(isCut
        ? [
            `The model attends to a window of ${slidingWindow} tokens. llama.cpp has no window for this family: the file's context ends there, ` +
              "up to which both compute the same.",
          ]
        : []),
      ...(rope.full.scaling.kind === "longrope"
        ? [
            `In a context of more than ${context} tokens llama.cpp takes LongRoPE's long factors for all of them, and answers to short ` +
              "prompts change too. The file's own context ends there.",
          ]
        : []),
    ],
  };
}

const linearNames: Readonly<Record<DecoderDesign["linears"], Readonly<Record<string, string>>>> = {
  separate: {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
  },
  fused: {
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
  },
  "shared-mlp": {},
};

const normNames: Readonly<Record<DecoderDesign["norms"], Readonly<Record<string, string>>>> = {
  before: { input_layernorm: "attn_norm", post_attention_layernorm: "ffn_norm" },
  after: {
    post_attention_layernorm: "post_attention_norm",
    post_feedforward_layernorm: "post_ffw_norm",
  },
  around: {
    input_layernorm: "attn_norm",
    post_attention_layernorm: "post_attention_norm",
    pre_feedforward_layernorm: "ffn_norm",
    post_feedforward_layernorm: "post_ffw_norm",
  },
};

const queryNorms = { "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm" };

/** Refuses what llama.cpp does not have in the family. */
function requireComputable(config: ModelConfig, form: LlamaCppForm): void {
  const { rope, design, layerKinds } = config;
  const { kind } = rope.full.scaling;
  if (!form.scalings.includes(kind)) refuse(config, `scales positions in the way of ${kind}`);
  if (rope.sliding !== null && rope.sliding.scaling.kind !== "none") {
    refuse(config, "scales the positions of its sliding layers");
  }
  if (form.head === "embedding" && !config.tieWordEmbeddings) {
    refuse(config, "has a head beside its embedding, where llama.cpp has one matrix for both");
  }
  const { numHeads, headDim, hiddenSize } = config;
  if (form.headsFillWidth === true && numHeads * headDim !== hiddenSize) {
    refuse(config, `has ${numHeads} heads of ${headDim}, which are not its width of ${hiddenSize} together`);
  }
  const biased = design.biases.find((name) => !form.biases.includes(name));
  if (biased !== undefined) refuse(config, `has a bias on ${biased}`);
  const every = form.unrotatedEvery ?? Number.POSITIVE_INFINITY;
  const turns = (i: number) => !design.unrotatedLayers.includes(i);
  if (layerKinds.some((_, i) => turns(i) !== ((i + 1) % every !== 0))) {
    refuse(
      config,
      `has no rotary positions in the layers ${design.unrotatedLayers.join(", ") || "(none)"}, where llama.cpp leaves them out in ` +
        (form.unrotatedEvery === undefined ? "none" : `every ${every}th`),
    );
  }
}

/** What becomes of each tensor. */
function changeOf(config: ModelConfig, form: LlamaCppForm): Architecture["change"] {
  const { numHeads, numKeyValueHeads, design, attentionScale } = config;
  const heads: Readonly<Record<string, number>> = { q_proj: numHeads, k_proj: numKeyValueHeads };
  // llama.cpp has one scale of attention for each size; another is in the norm of the queries
  const ofQueries = form.hasFactors ? 1 : attentionScale / scaleOf(config, form);
  if (ofQueries !== 1 && design.queryKeyNorms !== "head") {
    refuse(config, `multiplies scores by ${attentionScale}, where llama.cpp has ${scaleOf(config, form)}`);
  }
  const ofLinear = (name: string): TensorChange | null => {
    const of = heads[/\.self_attn\.([qk]_proj)\./.exec(name)?.[1] ?? ""];
    return of === undefined || !form.turnsNeighbours ? null : { kind: "interleave", heads: of };
  };
  const { normOffset } = design;
  return (name) => {
    if (!name.endsWith("norm.weight")) return ofLinear(name);
    const times = name.endsWith(".q_norm.weight") ? ofQueries : 1;
    return normOffset === 0 && times === 1 ? null : { kind: "scale", add: normOffset, times };
  };
}

/** The factor on scores that llama.cpp has for a model of this size. */
function scaleOf({ numLayers, hiddenSize, numHeads, headDim }: ModelConfig, form: LlamaCppForm): number {
  const width = numLayers === form.wideScaleLayers ? Math.floor(hiddenSize / numHeads) : headDim;
  return width ** -0.5;
}

/** Factors on embeddings, scores, logits and what a block adds, where a file has them. */
function factorKeys(config: ModelConfig, { hasFactors }: LlamaCppForm): Record<string, GgufValue> {
  if (!hasFactors) return {};
  const { embedScale, residualScale, logitScale } = config.design;
  return {
    "attention.scale": float32(config.attentionScale),
    embedding_scale: float32(embedScale),
    residual_scale: float32(residualScale),
    // llama.cpp divides by it
    logit_scale: float32(1 / logitScale),
  };
}

/** Which layers slide, and how far they see. */
function windowKeys(config: ModelConfig, { windows }: LlamaCppForm): Record<string, GgufValue> {
  const { slidingWindow, layerKinds } = config;
  if (windows === "none") return {};
  const first = layerKinds.indexOf("full");
  const period = first < 0 ? layerKinds.length + 1 : first + 1;
  const isRegular = layerKinds.every((kind, i) => (kind === "full") === ((i + 1) % period === 0));
  if (!isRegular)
    refuse(
      config,
      `has the layers ${layerKinds.join(", ")}, where full ones do not come at every n-th place`,
    );
  if (windows === "every second" && period !== 2)
    refuse(config, `has the layers ${layerKinds.join(", ")}, where every second one has to be full`);
  return {
    ...(slidingWindow === null ? {} : { "attention.sliding_window": uint32(slidingWindow) }),
    ...(windows === "every second" ? {} : { "attention.sliding_window_pattern": uint32(period) }),
  };
}

/** Caps, which llama.cpp has with values of its own where a file names none. */
function capKeys(config: ModelConfig, { capsScores = false }: LlamaCppForm): Record<string, GgufValue> {
  const { scoreCap, logitCap } = config.design;
  if (!capsScores && scoreCap === null && logitCap === null) return {};
  if (!capsScores || scoreCap === null || logitCap === null) {
    return refuse(config, `has caps ${scoreCap} on scores and ${logitCap} on logits`);
  }
  return { attn_logit_softcapping: float32(scoreCap), final_logit_softcapping: float32(logitCap) };
}

function scalingKeys({ scaling }: RopeConfig): Record<string, GgufValue> {
  switch (scaling.kind) {
    case "linear":
      return { "rope.scaling.type": string("linear"), "rope.scaling.factor": float32(scaling.factor) };
    case "longrope":
      return {
        "rope.scaling.attn_factor": float32(scaling.attentionFactor),
        "rope.scaling.original_context_length": uint32(scaling.originalMaxPositions),
      };
    default:
      return {};
  }
}

/** What frequencies are divided by, (turned numbers of a head / 2) each, by the names of the tensors. */
function ropeFactors({ theta, scaling }: RopeConfig, headDim: number): Architecture["ropeFactors"] {
  if (scaling.kind === "longrope") {
    return {
      "rope_factors_long.weight": Float32Array.from(scaling.longFactors),
      "rope_factors_short.weight": Float32Array.from(scaling.shortFactors),
    };
  }
  if (scaling.kind !== "llama3") return {};
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling;
  const factors = Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const turns = originalMaxPositions / (2 * Math.PI * theta ** ((2 * i) / headDim));
    if (turns > highFreqFactor) return 1;
    if (turns < lowFreqFactor) return factor;
    const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return 1 / ((1 - smooth) / factor + smooth);
  });
  return { "rope_freqs.weight": factors };
}

function refuse({ modelType }: ModelConfig, why: string): never {
  throw new FormatError(
    `This ${modelType} model ${why}; llama.cpp cannot compute that for the family, so no GGUF file is written. ` +
      "Serve the model with preftune serve or vLLM instead.",
  );
}
