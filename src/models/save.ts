/** Writing what was trained: a PEFT adapter directory, or a Hugging Face model directory with the adapter merged in. */
import { join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { adapterWeightsName } from "../formats/adapter.ts";
import { type AdapterConfig, adapterConfigJson } from "../formats/adapter-config.ts";
import { headName } from "../formats/checkpoint-names.ts";
import { configJsonText, exportConfig, exportWholeConfig } from "../formats/hf-config-export.ts";
import type { WeightDtype } from "../formats/model-config.ts";
import type { OtherParts } from "../formats/other-parts.ts";
import { type TensorSource, writeSafetensors } from "../formats/safetensors-write.ts";
import { writeWeights } from "../formats/weight-shards.ts";
import { Embedding } from "../nn/linear.ts";
import { isDense, isProjection, namedModules } from "../nn/module.ts";
import { RMSNorm } from "../nn/rms-norm.ts";
import { type DType, noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import { DecoderBlock } from "./blocks.ts";
import type { Decoder } from "./causal-lm.ts";
import { fileDtype } from "./mapped-file.ts";

/**
 * The numbers of a tensor in order, a stretch at a time: each is read before the next is asked for. Where no process has all of a
 * model, every rank asks for the same stretches.
 */
export type Collect = (tensor: SavedTensor) => Iterable<() => Tensor>;

/** All of a tensor, which is in memory. */
export const inMemory: Collect = ({ read }) => [read];

/** A tensor as safetensors files take it; read when written, so one tensor's copy exists at a time. */
export function tensorSource(name: string, tensor: Tensor, dtype: DType = tensor.dtype): TensorSource {
  return sourceOf(storedAs(name, tensor), dtype, inMemory);
}

function sourceOf(tensor: SavedTensor, dtype: DType, collect: Collect): TensorSource {
  const { name, shape } = tensor;
  return { name, dtype: fileDtype(dtype), shape, bytes: () => piecesOf(collect(tensor), dtype) };
}

function storedAs(name: string, tensor: Tensor): SavedTensor {
  return { name, shape: tensor.shape, tensor, read: () => ops.detach(tensor) };
}

/** The bytes in `dtype` of the stretches, each of which lives while they are taken. */
function* piecesOf(stretches: Iterable<() => Tensor>, dtype: DType): Generator<Uint8Array> {
  for (const read of stretches) {
    using _ = scope();
    yield* noGrad(() => ops.contiguous(ops.to(read(), "cpu", dtype))).pieces();
  }
}

/** The tensors of an adapter in the order of its file. */
export function adapterFileTensors(tensors: ReadonlyMap<string, Tensor>): SavedTensor[] {
  return [...tensors].map(([name, tensor]) => storedAs(name, tensor));
}

/** Writes `adapter_config.json` and `adapter_model.safetensors` into `dir`. */
export function writeAdapter(
  dir: string,
  config: AdapterConfig,
  tensors: ReadonlyMap<string, Tensor>,
  collect: Collect = inMemory,
): void {
  writeSafetensors(
    join(dir, adapterWeightsName),
    adapterFileTensors(tensors).map((each) => sourceOf(each, (each.tensor as Tensor).dtype, collect)),
    { format: "pt" },
  );
  writeFileAtomic(
    join(dir, "adapter_config.json"),
    `${JSON.stringify(adapterConfigJson(config), null, 2)}\n`,
  );
}

/** How a model is written. */
export interface WriteOptions {
  /** Default: it is all in memory. */
  collect?: Collect | undefined;
  /** Of the multimodal checkpoint that the model is the text part of: written with it. Default: none, the model alone. */
  parts?: OtherParts | null;
}

/**
 * Writes config.json and the weights of `model` into `dir`, adapters merged in float32 and rounded once to `dtype`.
 *
 * A head trained separately from the embedding it was tied to is written as a second matrix, with
 * `tie_word_embeddings: false`, so that it survives reloading.
 */
export function writeMergedModel(
  dir: string,
  model: Decoder,
  dtype: WeightDtype,
  { collect = inMemory, parts = null }: WriteOptions = {},
): void {
  const merged = mergedTensors(model);
  const { isRewardModel, tieWordEmbeddings } = model.config;
  // a reward model has no head that its base's word on ties could be about
  const tied = isRewardModel ? tieWordEmbeddings : !merged.some(({ name }) => name === headName);
  const own = merged.map((tensor) => ({
    ...sourceOf(tensor, dtype, collect),
    name: parts?.storedName(tensor.name) ?? tensor.name,
  }));
  writeWeights(dir, [...own, ...(parts?.tensors ?? [])]);
  const options = { tieWordEmbeddings: tied, dtype };
  const config =
    parts === null ? exportConfig(model.config, options) : exportWholeConfig(parts.config, options);
  writeFileAtomic(join(dir, "config.json"), configJsonText(config));
}

/** A tensor to be written: of a model as it acts, adapter included, or of an adapter. */
export interface SavedTensor {
  name: string;
  shape: readonly number[];
  /** The tensor in memory; null when it is computed from several. */
  tensor: Tensor | null;
  /** The tensor as it acts, adapter included. */
  read: () => Tensor;
}

/** Checkpoint tensors of the model as it acts now, in the order of its modules. */
export function mergedTensors(model: Decoder): SavedTensor[] {
  // a tied head that was not trained separately is the embedding's tensor, written already under its name
  const seen = new Set<number>();
  return [...namedModules(model)].flatMap(({ path, module }) =>
    tensorsOf(module, path).filter(({ tensor }) => {
      if (tensor === null) return true;
      const isNew = !seen.has(tensor.handle);
      seen.add(tensor.handle);
      return isNew;
    }),
  );
}

/** Names of the tensors that are stored with the model and never trained. */
export function fixedNames(model: Decoder): ReadonlySet<string> {
  const blocks = [...namedModules(model)].filter(({ module }) => module instanceof DecoderBlock);
  return new Set(blocks.flatMap(({ path, module }) => tensorsOf(module, path).map(({ name }) => name)));
}

/** What a module contributes; groups of modules contribute nothing themselves. */
function tensorsOf(module: object, path: string): SavedTensor[] {
  const plain = (name: string, tensor: Tensor): SavedTensor => storedAs(`${path}.${name}`, tensor);
  if (module instanceof Embedding) return [plain("weight", module.table)];
  if (module instanceof DecoderBlock)
    return Object.entries(module.fixed).map(([name, tensor]) => plain(name, tensor));
  if (module instanceof RMSNorm) return [plain("weight", module.weight)];
  if (!isProjection(module)) return [];
  const { shape, bias } = module;
  const read = () => module.dense("float32");
  const weight = isDense(module)
    ? plain("weight", module.weight)
    : { name: `${path}.weight`, shape, tensor: null, read };
  return bias === null ? [weight] : [weight, plain("bias", bias)];
}
