/**
 * Child program, `operators-fuzz-child.ts CALLS SEED`: calls the addon's own operators with arguments that are nearly right. Each
 * call, its gradients included, gives a result or an error. The last line: calls, and how many of them were refused.
 */
import { TorchError } from "../../src/base/errors.ts";
import { backward, type DType, manualSeed, ops, scope, Tensor, tensor } from "../../src/torch/index.ts";
import { native } from "../../src/torch/native.ts";
import { FastRandom } from "./byte-mutations.ts";

const [calls = 1, seed = 1] = process.argv.slice(2).map(Number);
const random = new FastRandom(seed);
const oneTo = (most: number): number => 1 + random.below(most);

/** Slots of a page of the cache of keys and values. */
const page = 32;

const normal = (...shape: number[]): Tensor => ops.normal_(ops.zeros(shape, { dtype: "float32" }), 0, 1);

/** Whole numbers below `below`. */
const whole = (below: number, ...shape: number[]): Tensor =>
  ops.to(ops.uniform_(ops.zeros(shape, { dtype: "float32" }), 0, below), "int32");

/** Rising places in a stream of `length` tokens: start and end of a segment and of its parent. */
function segments(length: number): number[] {
  const cut = random.below(length + 1);
  return [0, cut, 0, 0, cut, length, 0, cut];
}

/** Pages of sequences with `counts` new tokens, as paged_attention reads them. */
function pageTable(counts: readonly number[], pages: number): Tensor {
  const entries: number[] = [];
  const places: number[] = [];
  for (const count of counts) {
    const length = count + random.below(2 * page);
    entries.push(count, length, 3 * counts.length + places.length);
    places.push(...Array.from({ length: Math.ceil(length / page) }, () => random.below(pages)));
  }
  return tensor(Int32Array.from([...entries, ...places]));
}

/** Whole numbers of eight bits. */
const bytes = (...shape: number[]): Tensor => ops.to(whole(256, ...shape), "uint8");

/** A matrix (out, n) in 8 or 4 bits, as `quantised_linear` takes it. */
function quantised(out: number, n: number): [Tensor[], number[], number] {
  const block = 2 * oneTo(40);
  const blocks = Math.ceil((out * n) / block);
  const codes = bytes(Math.ceil((out * n) / 2));
  switch (random.below(3)) {
    case 0:
      return [[ops.to(whole(127, out, n), "int8"), normal(out)], [out, n], block];
    case 1:
      return [[codes, normal(blocks), normal(16)], [out, n], block];
    default: {
      const nested = [normal(Math.ceil(blocks / 256)), normal(256), normal(1)];
      return [[codes, bytes(blocks), normal(16), ...nested], [out, n], block];
    }
  }
}

const rates = { lr: 1e-3, beta1: 0.9, beta2: 0.99, weightDecay: 0.01, eps: 1e-8 };

/** Matrices that an optimiser updates, with what all of its forms need. */
function updated() {
  const shapes = Array.from({ length: oneTo(3) }, () => [oneTo(40), oneTo(40)] as [number, number]);
  const normals = () => shapes.map((shape) => normal(...shape));
  const steps = shapes.map(() => ops.add(ops.zeros([], { dtype: "float32" }), oneTo(9)));
  return { shapes, weights: normals(), grads: normals(), steps };
}

type Sound = readonly [call: (...args: never[]) => unknown, args: () => unknown[]];

const sound: Sound[] = [
  [ops.rmsNorm, () => sized(oneTo(40), oneTo(80), (t, n) => [normal(t, n), normal(n), 1e-5])],
  [
    ops.rotateHeads,
    () =>
      sized(oneTo(20), 2 * oneTo(20), (t, e) => {
        const weight = random.below(2) === 0 ? null : normal(e);
        return [normal(t, oneTo(4), e), weight, 1e-5, normal(t, 1, e), normal(t, 1, e)];
      }),
  ],
  [ops.gated, () => sized(oneTo(30), oneTo(70), (t, n) => [normal(t, n), normal(t, n), activation()])],
  [
    ops.gatedLinear,
    () =>
      sized(oneTo(30), oneTo(70), (t, n) => [normal(t, n), normal(t, n), normal(oneTo(40), n), activation()]),
  ],
  [
    ops.loraLinear,
    () =>
      sized(oneTo(40), oneTo(40), (n, out) => {
        const rank = oneTo(8);
        return [normal(oneTo(60), n), normal(out, n), normal(rank, n), normal(out, rank), 0.5];
      }),
  ],
  [
    ops.tokenDropout,
    () => sized(oneTo(40), oneTo(90), (t, n) => [normal(t, n), whole(2 ** 30, 2, t), random.below(100), 0.1]),
  ],
  [
    ops.droppedProduct,
    () =>
      sized(oneTo(40), oneTo(90), (t, n) => [
        normal(t, n),
        whole(2 ** 30, 2, t),
        normal(oneTo(9), n),
        random.below(100),
        0.1,
      ]),
  ],
  [
    ops.expRows_,
    () => sized(oneTo(9), oneTo(3000), (r, v) => [normal(r, v), random.below(2) === 0 ? null : normal(r, 1)]),
  ],
  [ops.greatest, () => sized(oneTo(9), oneTo(3000), (r, v) => [normal(r, v)])],
  [ops.halfCopy, () => sized(oneTo(9), oneTo(9), (r, n) => [normal(r, n), ops.to(normal(r, n), "bfloat16")])],
  [ops.mm, () => sized(oneTo(140), oneTo(300), (m, k) => [normal(m, k), normal(k, oneTo(200))])],
  [
    ops.linear,
    () =>
      sized(oneTo(300), oneTo(200), (k, n) => [
        normal(oneTo(140), k),
        normal(n, k),
        random.below(2) === 0 ? null : normal(n),
      ]),
  ],
  [
    ops.loraLinearHalf,
    () =>
      sized(oneTo(40), oneTo(40), (n, out) => {
        const [t, rank] = [oneTo(60), oneTo(8)];
        const half = (...shape: number[]) => ops.to(normal(...shape), "bfloat16");
        const dropped = random.below(2) === 0 ? null : half(t, n);
        const [a, b] = [normal(rank, n), normal(out, rank)];
        return [half(t, n), dropped, half(out, n), a, b, ops.to(a, "bfloat16"), ops.to(b, "bfloat16"), 0.5];
      }),
  ],
  [
    ops.addProduct_,
    () =>
      sized(oneTo(40), oneTo(40), (n, m) => {
        const k = oneTo(30);
        return [normal(n, m), normal(n, k), normal(k, m)];
      }),
  ],
  [
    ops.exactProduct,
    () => sized(oneTo(40), oneTo(40), (n, k) => [normal(n, k), ops.to(normal(k, oneTo(40)), "bfloat16")]),
  ],
  [
    ops.dequantise,
    () => [...quantised(oneTo(40), oneTo(90)), { dtype: random.pick(["float32", "bfloat16"]) }],
  ],
  [
    ops.quantisedLinear,
    () =>
      sized(oneTo(40), oneTo(90), (out, n) => {
        const type = random.below(2) === 0 ? "float32" : "bfloat16";
        const bias = random.below(2) === 0 ? null : ops.to(normal(out), type);
        return [ops.to(normal(oneTo(60), n), type), ...quantised(out, n), bias];
      }),
  ],
  [
    ops.adamw8bit_,
    () => {
      const of = updated();
      const blocks = (count: number) => Math.ceil(count / 256);
      const states = () => of.shapes.map((shape) => bytes(...shape));
      const absmax = () => of.shapes.map(([rows, columns]) => ops.abs(normal(blocks(rows * columns))));
      const code = tensor(
        Float32Array.from({ length: 256 }, (_, i) => Math.sign(i - 127) * 2 ** (Math.abs(i - 127) / 20 - 7)),
      );
      return [of.weights, of.grads, states(), absmax(), states(), absmax(), of.steps, code, code, rates];
    },
  ],
  [
    ops.adamwBf16_,
    () => {
      const of = updated();
      const averages = () => of.shapes.map((shape) => ops.to(ops.abs(normal(...shape)), "bfloat16"));
      const numbers = of.shapes.map((_, i) => i);
      return [
        of.weights,
        of.grads,
        averages(),
        averages(),
        of.steps,
        numbers,
        { ...rates, plain: random.below(3) === 0 },
      ];
    },
  ],
  [ops.sumSquares, () => [[normal(oneTo(2000)), normal(oneTo(9), oneTo(9))]]],
  [
    ops.segmentAttention,
    () =>
      // products on both sides of `kSmallProducts`, and more than a block of rows
      sized(oneTo(130), oneTo(3), (t, heads) => {
        const e = oneTo(24);
        return [
          normal(t, 2 * heads, e),
          normal(t, heads, e),
          normal(t, heads, e),
          segments(t),
          0.3,
          random.below(20),
        ];
      }),
  ],
  [
    ops.pagedAttention,
    () =>
      sized(oneTo(3), oneTo(24), (heads, e) => {
        const counts = Array.from({ length: oneTo(4) }, () => oneTo(40));
        const count = counts.reduce((sum, own) => sum + own, 0);
        const type = random.below(2) === 0 ? "float32" : "bfloat16";
        const parts = [normal(count, 2 * heads, e), normal(count, heads, e), normal(count, heads, e)];
        const cache = [normal(24, heads, e, page), normal(24, heads, page, e)];
        const tensors = [...parts, ...cache].map((x) => ops.to(x, type));
        return [...tensors, pageTable(counts, 24), counts.length, 0.3, random.below(60)];
      }),
  ],
];

function sized(a: number, b: number, make: (a: number, b: number) => unknown[]): unknown[] {
  return make(a, b);
}

function activation(): string {
  return random.below(2) === 0 ? "silu" : "gelu_tanh";
}

const dtypes: readonly DType[] = ["float64", "float16", "bfloat16", "int32", "int64", "bool", "uint8"];
const numbers = [
  0,
  -1,
  1,
  2,
  17,
  2 ** 31,
  -(2 ** 31),
  2 ** 53 - 1,
  -(2 ** 62),
  2 ** 63,
  1e308,
  1e-308,
  Number.NaN,
];
numbers.push(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.999999999, 0.5);

/** The tensor with another shape, type or layout. */
function changedTensor(x: Tensor): Tensor {
  const { shape } = x;
  const at = random.below(Math.max(1, shape.length));
  const sizes = shape.map((size, i) =>
    i === at ? random.pick([0, 1, size + 1, Math.max(0, size - 1), 2 * size]) : size,
  );
  const other = ops.to(normal(...sizes), x.dtype);
  switch (random.below(9)) {
    case 0:
      return ops.to(x, random.pick(dtypes));
    case 1:
      return ops.unsqueeze(x, random.below(shape.length + 1));
    case 2:
      return ops.view(x, [-1]);
    case 3:
      return ops.normal_(ops.zeros([], { dtype: "float32" }), 0, 1);
    case 4:
      // of the same shape, every second number of a larger one
      return shape.length === 0 ? x : ops.slice(ops.cat([x, x], -1), -1, 0, 2 * x.size(-1), 2);
    case 5:
      return x.dtype === "int32" ? ops.mul(x, random.pick([-1, 0, 3, 2 ** 26])) : ops.mul(x, 1e30);
    case 6:
      return shape.length < 2 ? x : ops.transpose(x, at, (at + 1) % shape.length);
    default:
      return other;
  }
}

function changed(arg: unknown): unknown {
  if (arg instanceof Tensor) return changedTensor(arg);
  if (typeof arg === "number") return random.pick(numbers);
  if (typeof arg === "string") return random.pick(["", "silu", "SILU", "x".repeat(300)]);
  if (typeof arg === "boolean") return !arg;
  if (arg === null) return normal(random.below(5), 1);
  if (!Array.isArray(arg)) {
    const [key, value] = random.pick(Object.entries(arg as object));
    return { ...(arg as object), [key]: key === "dtype" ? random.pick(dtypes) : changed(value) };
  }
  const list = [...arg];
  const at = random.below(list.length + 1);
  if (at === list.length || random.below(4) === 0)
    list.splice(at, random.below(3), ...list.slice(0, random.below(3)));
  else list[at] = changed(list[at]);
  return list;
}

function attempt(): boolean {
  using _ = scope();
  const [call, make] = random.pick(sound);
  const args = make();
  native.setBatchInvariant(random.below(3) === 0);
  native.useOnednn(hasBlocks && random.below(2) === 0);
  try {
    for (let changes = random.below(4); changes > 0; changes--) {
      const at = random.below(args.length);
      args[at] = changed(args[at]);
    }
    for (const arg of args) {
      if (arg instanceof Tensor && arg.dtype.includes("float") && random.below(3) === 0)
        arg.requiresGrad = true;
    }
    const results = [call(...(args as never[]))].flat().filter((result) => result instanceof Tensor);
    const outputs = results.filter((result) => result.requiresGrad).map((result) => ops.sum(result));
    if (outputs.length > 0) backward(outputs);
    // what was written is read, so that it was memory of the tensor's own
    for (const result of results) result.toNumbers();
    return true;
  } catch (error) {
    if (error instanceof TorchError) return false;
    throw error;
  }
}

manualSeed(seed);
const hasBlocks = native.hasOnednn();
let refused = 0;
for (let i = 0; i < calls; i++) if (!attempt()) refused++;
console.log(JSON.stringify({ calls, refused }));
