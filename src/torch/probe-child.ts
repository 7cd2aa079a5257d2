/**
 * Tries an addon that was built elsewhere, in a process of its own: every operator is there, every symbol is found, and a forward and a
 * backward pass give the numbers that plain loops give.
 */
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { readTextFile } from "../base/files.ts";
import { locateAddon } from "../setup/locate.ts";

// all symbols at once: one that this torch lacks fails here, and not where it is first called
process.dlopen({ exports: {} }, locateAddon(), constants.dlopen.RTLD_NOW);
const { backward, describe, ops, scope, tensor } = await import("./index.ts");

const names = readTextFile(fileURLToPath(new URL("operators.txt", import.meta.url)));
for (const name of names.split("\n").map((line) => line.trim())) {
  if (name !== "" && !name.startsWith("#")) describe(name);
}

/** Large enough for the kernels of products, with numbers that float32 holds exactly. */
const size = 64;
const entryOf = (seed: number) => (_: unknown, i: number) => ((i * seed) % 7) - 3;
const a = Array.from({ length: size * size }, entryOf(5));
const b = Array.from({ length: size * size }, entryOf(3));

/** (size, size) of aᵀ·g or a·g, in plain loops. */
function product(left: readonly number[], right: readonly number[]): number[] {
  return Array.from({ length: size * size }, (_, at) => {
    const [row, column] = [Math.floor(at / size), at % size];
    let sum = 0;
    for (let k = 0; k < size; k++) sum += (left[row * size + k] ?? 0) * (right[k * size + column] ?? 0);
    return sum;
  });
}

function transposed(matrix: readonly number[]): number[] {
  return matrix.map((_, i) => matrix[(i % size) * size + Math.floor(i / size)] ?? 0);
}

function same(what: string, got: ArrayLike<number>, expected: readonly number[]): void {
  const wrong = expected.findIndex(
    (value, i) => !(Math.abs((got[i] ?? Number.NaN) - value) <= 1e-4 * Math.max(1, Math.abs(value))),
  );
  if (wrong >= 0) throw new Error(`${what}: expected ${expected[wrong]} at ${wrong}, got ${got[wrong]}`);
}

{
  using _ = scope();
  const x = tensor(a, [size, size]);
  const w = tensor(b, [size, size]);
  w.requiresGrad = true;
  const y = ops.mm(x, w);
  const expected = product(a, b);
  same("a product", y.data() as Float32Array, expected);
  // the gradient of sum(y²) with respect to w is 2·xᵀ·y
  backward([ops.sum(ops.mul(y, y))]);
  const grad = product(transposed(a), expected).map((value) => 2 * value);
  same("its gradient", w.grad?.data() as Float32Array, grad);
  same("the addon's own sum of squares", ops.sumSquares([x]).data() as Float32Array, [
    a.reduce((sum, value) => sum + value * value, 0),
  ]);
}
