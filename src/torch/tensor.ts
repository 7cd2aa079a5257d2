/**
 * Tensors and their lifetimes. A `Tensor` is a number in the addon's table; its storage is freed by the scope it was
 * made in, by `dispose`, or, for tensors outside every scope, by a finalizer when nothing refers to it any more.
 */
import { TorchError } from "../base/errors.ts";
import {
  arrayFor,
  type DType,
  dtypeCode,
  dtypeOf,
  dtypeOfArray,
  itemSize,
  type TensorArray,
  type TensorInput,
} from "./dtype.ts";
import { guarded, type Handle, native } from "./native.ts";

// Only tensors outside every scope are registered: the others cost no finalizer.
const finalizers = new FinalizationRegistry<Handle>((handle) => native.free(handle));
let depth = 0;

const pieceBytes = 4 * 2 ** 20;
/** The array that pieces of tensors are read into while nobody uses it: one for each tensor would wait for the garbage collector. */
let pieceRoom: Uint8Array<ArrayBuffer> | null = null;

/** A torch tensor. Operators are functions (`ops`); a tensor itself has facts, data and lifetime only. */
export class Tensor implements Disposable {
  readonly handle: Handle;
  #shape: readonly number[] | null = null;
  #dtype: DType | null = null;

  /** Takes over `handle`. Not for users: operators and `tensor()` make tensors. */
  constructor(handle: Handle) {
    this.handle = handle;
    if (depth === 0) finalizers.register(this, handle, this);
  }

  /** Sizes of the dimensions, outermost first; `[]` for a scalar. */
  get shape(): readonly number[] {
    this.#shape ??= guarded(() => native.shape(this.handle));
    return this.#shape;
  }

  /** Size of dimension `i`; negative `i` counts from the last. */
  size(i: number): number {
    const size = this.shape.at(i);
    if (size === undefined) throw new TorchError(`dimension ${i} of a tensor of shape [${this.shape}]`);
    return size;
  }

  /** Element type. */
  get dtype(): DType {
    this.#dtype ??= dtypeOf(guarded(() => native.dtype(this.handle)));
    return this.#dtype;
  }

  /** Where the data lies: "cpu", "cuda:0", "mps:0", "meta". */
  get device(): string {
    return guarded(() => native.device(this.handle));
  }

  /** Number of elements. */
  get numel(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  /** False after its scope ended or it was disposed. */
  get isAlive(): boolean {
    return native.isAlive(this.handle);
  }

  /** Whether autograd records operations on this tensor. */
  get requiresGrad(): boolean {
    return guarded(() => native.requiresGrad(this.handle));
  }

  set requiresGrad(value: boolean) {
    guarded(() => native.setRequiresGrad(this.handle, value));
  }

  /** The accumulated gradient of a leaf, or null. Setting it null frees it. */
  get grad(): Tensor | null {
    const handle = guarded(() => native.grad(this.handle));
    return handle === undefined ? null : new Tensor(handle);
  }

  set grad(value: Tensor | null) {
    guarded(() => native.setGrad(this.handle, value?.handle));
  }

  /** The only element's value; waits for the device. */
  item(): number {
    return Number(guarded(() => native.item(this.handle)));
  }

  /**
   * A copy of the data as a flat typed array, `into` where that is given: of the tensor's type and at least as long.
   *
   * Never a view: what a view keeps alive is freed only when the event loop turns.
   */
  data(into?: TensorArray): TensorArray {
    const array = into ?? arrayFor(this.dtype, this.numel);
    if (into !== undefined && (!holds(into, this.dtype) || into.length < this.numel)) {
      throw new TorchError(
        `${this.numel} numbers of ${this.dtype} do not fit the array they are to be read into`,
      );
    }
    const bytes = new Uint8Array(array.buffer, array.byteOffset, this.numel * itemSize(this.dtype));
    guarded(() => native.read(this.handle, bytes, 0));
    return into === undefined || into.length === this.numel ? array : array.subarray(0, this.numel);
  }

  /** Fills `into` with the raw bytes, in row-major order, from byte `from` on. @throws {TorchError} if the tensor ends before */
  readBytes(into: Uint8Array, from: number): void {
    guarded(() => native.read(this.handle, into, from));
  }

  /**
   * The raw bytes in row-major order, in pieces of at most 4 MiB that share one array, also with tensors read later: each is
   * to be used before the next is asked for. Works for every element type.
   */
  *pieces(): Generator<Uint8Array<ArrayBuffer>> {
    const total = this.numel * itemSize(this.dtype);
    const room = pieceRoom ?? new Uint8Array(pieceBytes);
    pieceRoom = null;
    try {
      for (let from = 0; from < total; from += pieceBytes) {
        const piece = room.subarray(0, Math.min(pieceBytes, total - from));
        guarded(() => native.read(this.handle, piece, from));
        yield piece;
      }
    } finally {
      pieceRoom = room;
    }
  }

  /** The data as plain numbers, flat, converted to float64 whatever the type. */
  toNumbers(): number[] {
    const dtype = this.dtype;
    if (dtype !== "float16" && dtype !== "bfloat16") return Array.from(this.data(), Number);
    throw new TorchError(`toNumbers of a ${dtype} tensor: convert it to float32 first`);
  }

  /** Frees this tensor now instead of at the end of its scope. */
  dispose(): void {
    finalizers.unregister(this);
    native.free(this.handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Ends at the end of the block: `using step = scope()`. Frees the tensors made since, but for the kept ones. */
export class Scope implements Disposable {
  readonly #depth: number;
  #open = true;

  constructor() {
    this.#depth = native.openScope();
    depth = this.#depth;
  }

  /** Moves `tensor` out of this scope into the one around it (or to the finalizers when there is none). */
  keep<T extends Tensor>(tensor: T): T {
    guarded(() => native.keep(tensor.handle, this.#depth));
    if (this.#depth === 1) finalizers.register(tensor, tensor.handle, tensor);
    return tensor;
  }

  /** Moves `tensor` from whichever scope inside this one it is in into this one: it lives to its end. */
  adopt<T extends Tensor>(tensor: T): T {
    for (let inner = depth; inner > this.#depth; inner--) guarded(() => native.keep(tensor.handle, inner));
    return tensor;
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    guarded(() => native.closeScope(this.#depth));
    this.#open = false;
    depth = this.#depth - 1;
  }
}

/**
 * Opens a scope. Scopes nest and survive exceptions when held by `using`. They must end in reverse order, so do not
 * `await` inside one while other code makes tensors.
 *
 * @example
 *   using step = scope();
 *   const loss = step.keep(ops.mean(errors));
 */
export function scope(): Scope {
  return new Scope();
}

/** Number of tensors alive in the addon's table, for leak checks. */
export function liveTensorCount(): number {
  return native.liveTensorCount();
}

/** Options of `tensor`. */
export interface TensorOptions {
  /** Element type, to which the numbers are converted; default float32 for a plain array, the array's own for a typed one. */
  dtype?: DType;
  /** False shares a typed array's memory with the tensor (CPU) and keeps the array alive. Default: copy. */
  copy?: boolean;
}

/**
 * A CPU tensor holding `values`.
 *
 * @param values - numbers in row-major order
 * @param shape - sizes; default one dimension
 * @throws {TorchError} if `values` and `shape` do not have the same number of elements, or memory is to be shared of another type
 */
export function tensor(
  values: TensorInput | readonly number[],
  shape: readonly number[] = [values.length],
  options: TensorOptions = {},
): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  if (count !== values.length) {
    throw new TorchError(`shape [${shape}] holds ${count} elements, ${values.length} were given`);
  }
  const dtype = options.dtype ?? (isPlain(values) ? "float32" : dtypeOfArray(values));
  const isReady = !isPlain(values) && holds(values, dtype);
  if (!isReady && options.copy === false) {
    throw new TorchError(`expected a typed array of ${dtype} whose memory to share, got other numbers`);
  }
  const array = isReady ? values : arrayOf(isPlain(values) ? values : Array.from(values, Number), dtype);
  return new Tensor(
    guarded(() => native.fromTypedArray(array, shape, dtypeCode(dtype), options.copy ?? true)),
  );
}

function isPlain(values: TensorInput | readonly number[]): values is readonly number[] {
  return Array.isArray(values);
}

/** Whether the elements of `array` are numbers of `dtype` as they lie in memory. */
function holds(array: TensorInput, dtype: DType): boolean {
  const own = dtypeOfArray(array);
  return own === dtype || (own === "uint8" && dtype === "bool");
}

function arrayOf(values: readonly number[], dtype: DType): TensorInput {
  if (dtype === "int64") return wideIntegers(values);
  if (dtype === "int32") return Int32Array.from(values);
  if (dtype === "float64") return Float64Array.from(values);
  if (dtype === "float32") return Float32Array.from(values);
  if (dtype === "uint8") return Uint8Array.from(values);
  if (dtype === "bool") return Uint8Array.from(values, (value) => (value === 0 ? 0 : 1));
  throw new TorchError(`tensor() does not make ${dtype} from plain numbers: make float32 and convert it`);
}

/** The same as `BigInt64Array.from(values, BigInt)`, without a bigint for each of the small ones, which tokens and places are. */
function wideIntegers(values: readonly number[]): BigInt64Array<ArrayBuffer> {
  const wide = new BigInt64Array(values.length);
  const words = new Int32Array(wide.buffer);
  for (const [i, value] of values.entries()) {
    if ((value | 0) === value) {
      // the lower word first, as on all processors that libtorch is built for
      words[2 * i] = value;
      words[2 * i + 1] = value >> 31;
    } else wide[i] = BigInt(value);
  }
  return wide;
}
