/** Writing what was trained: a PEFT adapter directory, or a Hugging Face model directory with the adapter merged in. */
import { join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { type AdapterConfig, adapterConfigJson } from "../formats/adapter-config.ts";
import { headName } from "../formats/checkpoint-names.ts";
import { configJsonText, exportConfig } from "../formats/hf-config-export.ts";
import type { WeightDtype } from "../formats/model-config.ts";
import { type TensorSource, writeSafetensors } from "../formats/safetensors-write.ts";
import { writeWeights } from "../formats/weight-shards.ts";
import { Embedding } from "../nn/linear.ts";
import { isDense, isProjection, namedModules } from "../nn/module.ts";
import { RMSNorm } from "../nn/rms-norm.ts";
import { type DType, noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import type { Decoder } from "./causal-lm.ts";
import { fileDtype } from "./mapped-file.ts";

/** A tensor as safetensors files take it; read when written, so one tensor's copy exists at a time. */
export function tensorSource(name: string, tensor: Tensor, dtype: DType = tensor.dtype): TensorSource {
  return {
    name,
    dtype: fileDtype(dtype),
    shape: tensor.shape,
    bytes: () => piecesOf(() => ops.detach(tensor), dtype),
  };
}

/** The bytes in `dtype` of the tensor that `read` gives, which lives while they are taken. */
function* piecesOf(read: () => Tensor, dtype: DType): Generator<Uint8Array> {
  using _ = scope();
  yield* noGrad(() => ops.contiguous(ops.to(read(), "cpu", dtype))).pieces();
}

/** Writes `adapter_config.json` and `adapter_model.safetensors` into `dir`. */
export function writeAdapter(dir: string, config: AdapterConfig, tensors: ReadonlyMap<string, Tensor>): void {
  writeSafetensors(
    join(dir, "adapter_model.safetensors"),
    [...tensors].map(([name, tensor]) => tensorSource(name, tensor)),
    { format: "pt" },
  );
  writeFileAtomic(
    join(dir, "adapter_config.json"),
    `${JSON.stringify(adapterConfigJson(config), null, 2)}\n`,
  );
}

/**
 * Writes config.json and the weights of `model` into `dir`, adapters merged in float32 and rounded once to `dtype`.
 *
 * A head trained separately from the embedding it was tied to is written as a second matrix, with
 * `tie_word_embeddings: false`, so that it survives reloading.
 */
export function writeMergedModel(dir: string, model: Decoder, dtype: WeightDtype): void {
  const merged = mergedTensors(model);
  const { isRewardModel, tieWordEmbeddings } = model.config;
  // a reward model has no head that its base's word on ties could be about
  const tied = isRewardModel ? tieWordEmbeddings : !merged.some(({ name }) => name === headName);
  writeWeights(
    dir,
    merged.map(({ name, shape, read }) => ({
      name,
      shape,
      dtype: fileDtype(dtype),
      bytes: () => piecesOf(read, dtype),
    })),
  );
  const config = exportConfig(model.config, { tieWordEmbeddings: tied, dtype });
  writeFileAtomic(join(dir, "config.json"), configJsonText(config));
}

/** A tensor of a model as it acts, adapter included. */
export interface MergedTensor {
  name: string;
  shape: readonly number[];
  /** The tensor in memory; null when it is computed from several. */
  tensor: Tensor | null;
  /** The tensor as it acts, adapter included. */
  read: () => Tensor;
}

/** Checkpoint tensors of the model as it acts now, in the order of its modules. */
export function mergedTensors(model: Decoder): MergedTensor[] {
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

/** What a module contributes; groups of modules contribute nothing themselves. */
function tensorsOf(module: object, path: string): MergedTensor[] {
  const plain = (name: string, tensor: Tensor): MergedTensor => ({
    name: `${path}.${name}`,
    shape: tensor.shape,
    tensor,
    read: () => ops.detach(tensor),
  });
  if (module instanceof Embedding) return [plain("weight", module.table)];
  if (module instanceof RMSNorm) return [plain("weight", module.weight)];
  if (!isProjection(module)) return [];
  const { shape, bias } = module;
  const read = () => module.dense("float32");
  const weight = isDense(module)
    ? plain("weight", module.weight)
    : { name: `${path}.weight`, shape, tensor: null, read };
  return bias === null ? [weight] : [weight, plain("bias", bias)];
}
