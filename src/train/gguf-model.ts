/** A model's GGUF file: written from the model, then scored from its own numbers. Of both models one is in memory at a time. */
import { embeddingName, headName } from "../formats/checkpoint-names.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import type { Quantisation } from "../formats/quantisation.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import { architectureOf } from "../gguf/architecture.ts";
import type { Lineage } from "../gguf/lineage.ts";
import { modelKeys } from "../gguf/model-keys.ts";
import { readGguf, requireQuantised, requireSame } from "../gguf/read.ts";
import type { EndTokens } from "../gguf/special-tokens.ts";
import { planTensors, type TensorPlan } from "../gguf/tensors.ts";
import type { WrittenType } from "../gguf/types.ts";
import type { GgufKeys } from "../gguf/values.ts";
import { type VocabularySource, vocabularyOf } from "../gguf/vocabulary.ts";
import { type GgufSource, writeGguf } from "../gguf/write.ts";
import { loadModel } from "../models/load.ts";
import { mergedTensors } from "../models/save.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { scope } from "../torch/index.ts";
import type { GgufScores } from "./gguf-gate.ts";
import { ggufSources, modelOfGguf } from "./gguf-tensors.ts";
import { outputsOf } from "./logp-difference.ts";
import { noiseOf, roundedTensors } from "./rounding.ts";

/** What a file is made of. */
export interface GgufModel {
  /** Directories. */
  model: string;
  adapter: string | null;
  /** How the base's linears were held when the adapter was trained; null: as they are stored. */
  quantise: Quantisation | null;
  name: string;
  tokenizer: Tokenizer;
  ends: EndTokens;
  template: VocabularySource["template"];
  /** Identifier of the licence; null: unknown. */
  license: string | null;
  lineage: Lineage;
  type: WrittenType;
  device: string;
  /** Rows that are scored before and after. */
  batches: readonly MicroBatch[];
  /** Whether two answers of a row are a chosen and a rejected one. */
  arePairs: boolean;
}

/** What was written. */
export interface WrittenGguf extends Pick<GgufModel, "type" | "device" | "batches" | "arePairs"> {
  config: ModelConfig;
  keys: GgufKeys;
  plans: readonly TensorPlan[];
  tensors: readonly GgufSource[];
  /** Log-probs by the model. */
  want: readonly Float32Array[];
  /** Names in the checkpoint of the tensors that rounding changed. */
  rounded: ReadonlySet<string>;
  notes: readonly string[];
  /** Whether another program has given tensors of the file other types since. */
  isQuantised?: boolean;
}

const numerics: Numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null };
const halves = { f16: "float16", bf16: "bfloat16" } as const;

function halfOf(type: WrittenType): "float16" | "bfloat16" | null {
  return type === "f16" || type === "bf16" ? halves[type] : null;
}

/**
 * Writes the model, with its adapter merged, to `path`, which must not exist.
 *
 * @throws {FormatError} for a model or tokenizer that llama.cpp would compute otherwise
 */
export function writeGgufModel(path: string, given: GgufModel): WrittenGguf {
  using _ = scope();
  const { type, device, batches, arePairs, adapter, quantise } = given;
  const model = loadModel(given.model, { device, dtype: "float32", adapter, quantise });
  const { config } = model;
  const merged = mergedTensors(model);
  const tieWordEmbeddings = !merged.some(({ name }) => name === headName);
  const architecture = architectureOf({ ...config, tieWordEmbeddings });
  const rows = merged.find(({ name }) => name === embeddingName)?.shape[0] ?? config.vocabSize;
  const vocabulary = vocabularyOf({ ...given, config, rows });
  const plans = planTensors(merged, architecture, { type, rows: vocabulary.tokens });
  const { name, license, lineage } = given;
  const keys = modelKeys({ name, license, lineage, type }, config, architecture, vocabulary.keys);
  const factors = Object.entries(architecture.ropeFactors).map(
    ([factorsName, numbers]): GgufSource => ({
      name: factorsName,
      type: "f32",
      shape: [numbers.length],
      bytes: () => [bytesOf(numbers)],
    }),
  );
  const tensors = [...factors, ...ggufSources(plans, merged)];
  const want = outputsOf(model, { batches, numerics });
  writeGguf(path, keys, tensors);
  const half = halfOf(type);
  const moved = half === null ? new Set<string>() : roundedTensors(model, half);
  const rounded = new Set(
    plans.filter((plan) => plan.type === type && moved.has(plan.from)).map(({ from }) => from),
  );
  const notes = [...vocabulary.notes, ...architecture.notes];
  return { config, keys, plans, tensors, type, device, batches, arePairs, want, rounded, notes };
}

function bytesOf(numbers: Float32Array): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

/** Scores the rows by the numbers in the file at `path`. @throws {FormatError} if the file is not as it was written */
export function scoreGguf(path: string, written: WrittenGguf): GgufScores {
  using _ = scope();
  const { batches, arePairs, want, type, plans } = written;
  const file = readGguf(path);
  if (written.isQuantised === true) requireQuantised(file, written);
  else requireSame(file, written);
  const model = modelOfGguf(file, plans, written);
  const got = outputsOf(model, { batches, numerics });
  const dtype = halfOf(type);
  const rounding = dtype === null ? null : noiseOf(model, written.rounded, { batches, numerics, dtype });
  return { batches, arePairs, want, got, rounding };
}
