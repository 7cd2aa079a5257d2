/** Which tensors a GGUF file has: names, types and shapes, by those of the checkpoint. */
import { FormatError } from "../base/errors.ts";
import { embeddingName, headName } from "../formats/checkpoint-names.ts";
import type { Architecture, TensorChange } from "./architecture.ts";
import { blocks, type WrittenType } from "./types.ts";

/** A tensor of a checkpoint and what becomes of it. */
export interface TensorPlan {
  /** Its name in the checkpoint. */
  from: string;
  /** Its name in the GGUF file. */
  name: string;
  type: WrittenType;
  /** Its shape in the GGUF file, outermost size first. */
  shape: readonly number[];
  change: TensorChange | null;
}

const outside: Readonly<Record<string, string>> = {
  [embeddingName]: "token_embd.weight",
  "model.norm.weight": "output_norm.weight",
  [headName]: "output.weight",
};

/**
 * The name in a GGUF file of a checkpoint's tensor.
 *
 * @throws {FormatError} for one that the architecture does not have
 */
export function ggufName(name: string, { name: family, blockNames }: Architecture): string {
  const [, layer, module = "", kind] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? [];
  const inBlock = blockNames[module];
  if (inBlock !== undefined) return `blk.${layer}.${inBlock}.${kind}`;
  const known = outside[name];
  if (known !== undefined) return known;
  throw new FormatError(
    `The tensor "${name}" has no place in llama.cpp's ${family} models, so no GGUF file is written.`,
  );
}

/**
 * What becomes of the tensors of a model.
 *
 * @param rows - rows that the embedding and the head keep: the tokens of the file
 */
export function planTensors(
  tensors: readonly { name: string; shape: readonly number[] }[],
  architecture: Architecture,
  { type, rows }: { type: WrittenType; rows: number },
): TensorPlan[] {
  const plans = tensors.map(({ name: from, shape }): TensorPlan => {
    const name = ggufName(from, architecture);
    const [first = 0, ...rest] = shape;
    const isTable = from === embeddingName || from === headName;
    const isCut = isTable && first > rows;
    return {
      from,
      name,
      type: typeOf(shape, type, isTable),
      shape: isCut ? [rows, ...rest] : shape,
      change: isCut ? { kind: "cut", rows } : architecture.change(from),
    };
  });
  if (!architecture.repeatsEmbedding) return plans;
  const head = ggufName(headName, architecture);
  return plans.flatMap((plan) => (plan.from === embeddingName ? [plan, { ...plan, name: head }] : [plan]));
}

/**
 * The type of a tensor in a file of `type`: vectors stay float32, as llama.cpp wants them, rows that are not whole blocks float16; in
 * files of four bits the embedding and the head have eight, as most of what the fewer bits cost is lost there.
 */
function typeOf(shape: readonly number[], type: WrittenType, isTable = false): WrittenType {
  if (shape.length < 2) return "f32";
  if ((shape.at(-1) ?? 0) % blocks[type].size !== 0) return "f16";
  return type === "q4_0" && isTable ? "q8_0" : type;
}
