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
    ops.expRows_,
    () => sized(oneTo(9), oneTo(3000), (r, v) => [normal(r, v), random.below(2) === 0 ? null : normal(r, 1)]),
  ],
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
  [ops.sumSquares, () => [[normal(oneTo(2000)), normal(oneTo(9), oneTo(9))]]],
  [
    ops.segmentAttention,
    () =>
      sized(oneTo(70), oneTo(3), (t, heads) => {
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
  if (!Array.isArray(arg)) return normal(random.below(5), 1);
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
