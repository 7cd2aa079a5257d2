/** Tensors on their way into a GGUF file and back: what llama.cpp stores in other ways than transformers is changed, and undone. */
import { FormatError } from "../base/errors.ts";
import { headName } from "../formats/checkpoint-names.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import type { TensorChange } from "../gguf/architecture.ts";
import { encode, largestFloat16 } from "../gguf/quantise.ts";
import { type GgufFile, readNumbers } from "../gguf/read.ts";
import type { TensorPlan } from "../gguf/tensors.ts";
import type { GgufSource } from "../gguf/write.ts";
import { buildModel } from "../models/build.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { requireFinite } from "../models/finite.ts";
import type { SavedTensor } from "../models/save.ts";
import { noGrad, ops, scope, type Tensor, tensor } from "../torch/index.ts";

/** Tensors as a GGUF file takes them; each is read, changed and rounded when its turn comes. */
export function ggufSources(
  plans: readonly TensorPlan[],
  tensors: readonly Pick<SavedTensor, "name" | "read">[],
): GgufSource[] {
  const byName = new Map(tensors.map((saved) => [saved.name, saved]));
  return plans.map((plan) => {
    const saved = byName.get(plan.from);
    if (saved === undefined) throw new FormatError(`there is no tensor "${plan.from}" to write`);
    return { name: plan.name, type: plan.type, shape: plan.shape, bytes: () => bytesOf(plan, saved.read) };
  });
}

function* bytesOf({ from, type, change }: TensorPlan, read: () => Tensor): Generator<Uint8Array> {
  using _ = scope();
  const numbers = noGrad(() => ops.contiguous(changed(ops.to(read(), "cpu", "float32"), change)));
  if (type === "f16") requireFloat16(numbers, from);
  for (const piece of numbers.pieces()) {
    yield encode(type, new Float32Array(piece.buffer, piece.byteOffset, piece.byteLength / 4));
  }
}

function requireFloat16(numbers: Tensor, name: string): void {
  using _ = scope();
  const [least, most] = ops.aminmax(numbers).map((extreme) => extreme.item());
  const largest = Math.max(Math.abs(least ?? 0), Math.abs(most ?? 0));
  if (largest <= largestFloat16) return;
  throw new FormatError(
    `The tensor "${name}" holds ${largest.toPrecision(3)}, and float16 ends at 65504. Write another type: --type bf16 or f32.`,
  );
}

function changed(given: Tensor, change: TensorChange | null): Tensor {
  switch (change?.kind) {
    case undefined:
      return given;
    case "scale":
      return ops.mul(ops.add(given, change.add), change.times);
    case "cut":
      return ops.narrow(given, 0, 0, change.rows);
    case "interleave":
      return swapHalves(given, [change.heads, 2, -1]);
  }
}

function unchanged(stored: Tensor, change: TensorChange | null): Tensor {
  switch (change?.kind) {
    case undefined:
    case "cut":
      return stored;
    case "scale":
      return ops.sub(ops.div(stored, change.times), change.add);
    case "interleave":
      return swapHalves(stored, [change.heads, -1, 2]);
  }
}

/** Rows in other order: those of each head as a table of these sizes, read column by column. */
function swapHalves(rows: Tensor, [heads, first, second]: [number, number, number]): Tensor {
  const table = ops.reshape(rows, [heads, first, second, ...rows.shape.slice(1)]);
  return ops.reshape(ops.transpose(table, 1, 2), rows.shape);
}

/** The numbers of a file's tensor as the checkpoint has them, float32 on the CPU. @throws {FormatError} if one is not finite */
export function readPlanned(file: GgufFile, plan: TensorPlan): Tensor {
  using reading = scope();
  const stored = file.tensors.get(plan.name);
  if (stored === undefined) throw new FormatError(`${file.path}: tensor "${plan.name}" is missing`);
  const numbers = tensor(readNumbers(file, stored), stored.shape);
  requireFinite(numbers, `${file.path}: tensor "${plan.name}"`);
  return reading.keep(ops.contiguous(unchanged(numbers, plan.change)));
}

/** The model that the numbers of a file make, in float32 on `device`. */
export function modelOfGguf(
  file: GgufFile,
  plans: readonly TensorPlan[],
  { config, device }: { config: ModelConfig; device: string },
): CausalLM {
  const byName = new Map(plans.map((plan) => [plan.from, plan]));
  const rows = plans.find(({ name }) => name === "token_embd.weight")?.shape[0] ?? config.vocabSize;
  const written = { ...config, vocabSize: rows, tieWordEmbeddings: !byName.has(headName) };
  return buildModel(written, (name) => {
    using reading = scope();
    return reading.keep(ops.to(readPlanned(file, byName.get(name) as TensorPlan), device, "float32"));
  });
}
