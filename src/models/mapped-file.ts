/** Safetensors files as tensors over a memory map: nothing is read until it is used, nothing is copied that need not be. */
import { FormatError } from "../base/errors.ts";
import {
  requireUnchanged,
  type SafetensorsFile,
  type TensorDtype,
  type TensorEntry,
} from "../formats/safetensors.ts";
import { type DType, itemSize, ops, scope, type Tensor } from "../torch/index.ts";

const dtypes: Partial<Record<TensorDtype, DType>> = {
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
  F64: "float64",
  I64: "int64",
  I32: "int32",
  I16: "int16",
  I8: "int8",
  U8: "uint8",
  BOOL: "bool",
};

const names = new Map(Object.entries(dtypes).map(([file, dtype]) => [dtype, file as TensorDtype]));

/** The name safetensors files use for an element type. */
export function fileDtype(dtype: DType): TensorDtype {
  return names.get(dtype) as TensorDtype;
}

/** Gives tensors of one checked file by entry. Disposing frees the map as soon as no tensor shares it. */
export interface MappedFile extends Disposable {
  (entry: TensorEntry): Tensor;
}

/**
 * Maps `file` into memory. Tensors share the map (private: writing to one never changes the file) and keep it alive.
 *
 * @throws {FormatError} for element types that models do not have, and a file that is no longer the one of the header
 */
export function mapSafetensors(file: SafetensorsFile): MappedFile {
  const all = mapped(file);
  const read = (entry: TensorEntry) => {
    using reading = scope();
    const dtype = dtypes[entry.dtype];
    if (dtype === undefined) {
      throw new FormatError(
        `${file.path}: tensor "${entry.name}" is ${entry.dtype}; weights must be F32, F16 or BF16. ` +
          "Convert the checkpoint to one of these.",
      );
    }
    const begin = file.dataStart + entry.begin;
    const bytes = ops.slice(all, 0, begin, file.dataStart + entry.end);
    // a view as another type must begin at a multiple of that type's size
    const aligned = begin % itemSize(dtype) === 0 ? bytes : ops.clone(bytes);
    return reading.keep(ops.view(ops.view(aligned, dtype), entry.shape));
  };
  return Object.assign(read, { [Symbol.dispose]: () => all.dispose() });
}

/** The path is opened again here, and may lead to another file by now. */
function mapped(file: SafetensorsFile): Tensor {
  requireUnchanged(file);
  using mapping = scope();
  const all = ops.fromFile(file.path, false, file.fileBytes, { dtype: "uint8" });
  requireUnchanged(file);
  return mapping.keep(all);
}

const bytesAtOnce = 64 * 2 ** 20;

/**
 * Copies the numbers `from` to before `to` of a tensor of a file, in row-major order, into `target`, (to − from) on any device and of
 * any type, contiguous. Nothing else of the file is read.
 *
 * @throws {FormatError} if the file was replaced or written to since its header was read
 */
export function copyStoredRange(
  file: SafetensorsFile,
  entry: TensorEntry,
  { from, to }: { from: number; to: number },
  target: Tensor,
): void {
  const numel = entry.shape.reduce((product, size) => product * size, 1);
  const size = (entry.end - entry.begin) / Math.max(1, numel);
  const step = Math.max(1, Math.floor(bytesAtOnce / Math.max(1, size)));
  for (let first = from; first < to; first += step) {
    using _ = scope();
    using map = mapSafetensors(file);
    const count = Math.min(step, to - first);
    const begin = entry.begin + first * size;
    const stored = map({ ...entry, shape: [count], begin, end: begin + count * size });
    ops.readAlone(stored);
    ops.copy_(ops.narrow(target, 0, first - from, count), stored);
    requireUnchanged(file);
  }
}

/**
 * Copies a tensor of a file into `target`, of the same shape on any device and of any type. Pages of a map that were read count
 * as memory while it is there: each map holds some numbers.
 */
export function copyStored(file: SafetensorsFile, entry: TensorEntry, target: Tensor): void {
  const numel = entry.shape.reduce((product, size) => product * size, 1);
  copyStoredRange(file, entry, { from: 0, to: numel }, ops.view(target, [numel]));
}
