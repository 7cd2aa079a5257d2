/** All keys of a model's GGUF file. */
import type { ModelConfig } from "../formats/model-config.ts";
import type { Architecture } from "./architecture.ts";
import { type Lineage, lineageKeys } from "./lineage.ts";
import type { WrittenType } from "./types.ts";
import { float32, type GgufKeys, type GgufValue, string, uint32 } from "./values.ts";
import { plainName } from "./vocabulary.ts";

/** What a file says of a model as a whole. */
export interface ModelFacts {
  name: string;
  /** Identifier of the licence; null: unknown. */
  license: string | null;
  lineage: Lineage;
  type: WrittenType;
}

/** llama.cpp's numbers for the type that most tensors have. */
const fileTypes: Readonly<Record<WrittenType, number>> = { f32: 0, f16: 1, q4_0: 2, q8_0: 7, bf16: 32 };

/** The keys of a file: general ones, those of the architecture, those of the vocabulary. */
export function modelKeys(
  { name, license, lineage, type }: ModelFacts,
  config: ModelConfig,
  architecture: Architecture,
  vocabulary: ReadonlyMap<string, GgufValue>,
): GgufKeys {
  const sizes: Record<string, GgufValue> = {
    block_count: uint32(config.numLayers),
    context_length: uint32(architecture.context),
    embedding_length: uint32(config.hiddenSize),
    feed_forward_length: uint32(config.intermediateSize),
    "attention.head_count": uint32(config.numHeads),
    "attention.head_count_kv": uint32(config.numKeyValueHeads),
    "rope.freq_base": float32(config.rope.full.theta),
    "attention.layer_norm_rms_epsilon": float32(config.rmsNormEps),
    ...architecture.keys,
  };
  return new Map<string, GgufValue>([
    ["general.architecture", string(architecture.name)],
    ["general.type", string("model")],
    ["general.name", string(plainName(name))],
    ...(license === null ? [] : ([["general.license", string(license)]] as const)),
    ...lineageKeys(lineage),
    ...Object.entries(sizes).map(([key, value]) => [`${architecture.name}.${key}`, value] as const),
    ["general.file_type", uint32(fileTypes[type])],
    ["general.quantization_version", uint32(2)],
    ...vocabulary,
  ]);
}
