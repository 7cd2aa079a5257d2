/** Float32 products on the CPU, by either library, against float64 ones, in every layout, at sizes around the addon's blocks. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

import {
  backward,
  manualSeed,
  matmulLibrary,
  noGrad,
  ops,
  scope,
  setThreads,
  type Tensor,
  threads,
} from "./index.ts";
import { batchInvariant } from "./matmul.ts";
import { native } from "./native.ts";

/** The libraries there are here. */
const libraries = native.hasOnednn() ? (["torch", "onednn"] as const) : (["torch"] as const);

/** Runs `body` with products by `library`. */
function by<T>(library: (typeof libraries)[number], body: () => T): T {
  const before = native.usesOnednn();
  native.useOnednn(library === "onednn");
  try {
    assert.equal(matmulLibrary(), library);
    return body();
  } finally {
    native.useOnednn(before);
  }
}

type Layout = "plain" | "turned" | "rows apart" | "neither";

/** (rows, columns) of random numbers that lies in memory as `layout` says. */
function matrix(rows: number, columns: number, layout: Layout): Tensor {
  const random = (...shape: number[]) => ops.normal_(ops.zeros(shape, { dtype: "float32" }), 0, 1);
  if (layout === "plain") return random(rows, columns);
  if (layout === "turned") return ops.t(random(columns, rows));
  const wide = random(rows, layout === "neither" ? 2 * columns : columns + 5);
  if (layout === "rows apart") return ops.slice(wide, 1, 3, columns + 3);
  return ops.slice(wide, 1, 0, 2 * columns, 2);
}

function double(x: Tensor): Tensor {
  return ops.to(x, "float64");
}

/** Largest difference over √K, the size of the numbers. */
function difference(got: Tensor, want: Tensor, depth: number): number {
  const values = ops.sub(double(got), want).toNumbers();
  return values.reduce((worst, x) => Math.max(worst, Math.abs(x)), 0) / Math.sqrt(depth);
}

const sizes: [rows: number, depth: number, columns: number][] = [
  [1, 300, 400],
  [129, 65, 63],
  [128, 1152, 64],
  [37, 1153, 70],
  [300, 2500, 130],
  [5, 40, 30_001],
];

for (const [m, k, n] of sizes) {
  for (const left of ["plain", "turned", "rows apart"] as const) {
    for (const right of ["plain", "turned", "neither"] as const) {
      const check = (): void => {
        using _ = scope();
        noGrad(() => {
          manualSeed(m + k + n);
          const [a, b] = [matrix(m, k, left), matrix(k, n, right)];
          const want = ops.matmul(double(a), double(b));
          assert.ok(difference(ops.matmul(a, b), want, k) < 1e-5);
          const sum = matrix(m, n, "plain");
          const scaled = ops.add(double(sum), want, { alpha: 0.5 });
          assert.ok(difference(ops.addmm_(sum, a, b, { alpha: 0.5 }), scaled, k) < 1e-5);
        });
      };
      for (const library of libraries) {
        const title = `${library}: (${m}, ${k}) ${left} · (${k}, ${n}) ${right}, alone and added to a sum`;
        test(title, () => by(library, check));
      }
      test(`row by row: (${m}, ${k}) ${left} · (${k}, ${n}) ${right}`, () => batchInvariant(check));
    }
  }
}

for (const [m, k, n] of sizes) {
  test(`row by row, in bfloat16: (${m}, ${k}) · (${k}, ${n}) is the sum rounded once`, () => {
    using _ = scope();
    noGrad(() =>
      batchInvariant(() => {
        manualSeed(m + k + n);
        const half = (x: Tensor) => ops.to(x, "bfloat16");
        const [a, w] = [half(matrix(m, k, "plain")), half(matrix(n, k, "plain"))];
        const want = ops.matmul(double(a), ops.t(double(w))).toNumbers();
        const got = double(ops.matmul(a, ops.t(w))).toNumbers();
        const beyond = got.filter((x, i) => {
          const sum = want[i] ?? Number.NaN;
          return !(Math.abs(x - sum) <= Math.abs(sum) * 2 ** -8 + 1e-5 * Math.sqrt(k));
        });
        assert.deepEqual(beyond, []);
      }),
    );
  });
}

test("a product does not depend on the number of threads, bit for bit", () => {
  using _ = scope();
  const before = threads();
  try {
    noGrad(() => {
      manualSeed(7);
      const [a, b] = [matrix(301, 1700, "turned"), matrix(1700, 520, "plain")];
      const at = (count: number): number[] => {
        setThreads(count);
        return ops.matmul(a, b).toNumbers();
      };
      if (native.hasOnednn()) by("onednn", () => assert.deepEqual(at(2), at(1)));
      const weight = matrix(1700, 520, "turned");
      const rows = (count: number): number[] => {
        setThreads(count);
        return batchInvariant(() => ops.matmul(ops.contiguous(a), weight).toNumbers());
      };
      assert.deepEqual(rows(2), rows(1));
    });
  } finally {
    setThreads(before);
  }
});

for (const dtype of ["float32", "bfloat16"] as const) {
  test(`row by row, a row's product is the same alone as among few and many others, bit for bit (${dtype})`, () => {
    using _ = scope();
    noGrad(() => {
      for (const [k, n] of [
        [7, 5],
        [40, 30],
        [128, 411],
        [130, 48],
        [1700, 61],
      ] as const) {
        const a = ops.to(matrix(197, k, "plain"), dtype);
        const weight = ops.t(ops.to(matrix(n, k, "plain"), dtype));
        const of = (first: number, end: number): number[] =>
          batchInvariant(() => double(ops.matmul(ops.slice(a, 0, first, end), weight)).toNumbers());
        const all = of(0, 197);
        for (const [first, end] of [
          [0, 1],
          [95, 98],
          [3, 18],
          [20, 36],
          [31, 54],
          [100, 132],
          [140, 189],
          [133, 197],
        ] as const) {
          const title = `${k} · ${n}, rows ${first} to ${end}`;
          assert.deepEqual(of(first, end), all.slice(first * n, end * n), title);
        }
      }
    });
  });
}

test("NaN and infinity go through", () => {
  using _ = scope();
  const check = (): void => {
    const [a, b] = [ops.zeros([70, 40], { dtype: "float32" }), matrix(40, 50, "plain")];
    ops.copy_(ops.slice(a, 0, 3, 4), ops.full([1, 40], Number.NaN, { dtype: "float32" }));
    const rows = ops.sum(ops.matmul(a, b), [1]).toNumbers();
    assert.deepEqual(
      rows.map(Number.isNaN),
      rows.map((_, i) => i === 3),
    );
  };
  for (const library of libraries) noGrad(() => by(library, check));
});

test("an unknown PREFTUNE_MATMUL is refused with the known ones", () => {
  const code = `(await import(${JSON.stringify(join(import.meta.dirname, "index.ts"))})).threads()`;
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", code], {
    env: { ...process.env, PREFTUNE_MATMUL: "mkl" },
    encoding: "utf8",
  });
  assert.notEqual(status, 0);
  assert.match(stderr, /PREFTUNE_MATMUL: expected torch or onednn, got "mkl"/);
});

test("where nothing is recorded tensors are as elsewhere: recorded later, changes in place counted", () => {
  using _ = scope();
  const apart = <T>(body: () => T): T => noGrad(() => batchInvariant(body));
  const x = ops.arange(0, 6, 1, { dtype: "float32" });
  const y = apart(() => ops.view(ops.add(x, 1), [2, 3]));
  y.requiresGrad = true;
  backward([ops.sum(ops.mul(y, y))]);
  assert.deepEqual(y.grad?.toNumbers(), [2, 4, 6, 8, 10, 12]);
  for (const change of [() => ops.add_(y, ops.view(x, [2, 3])), () => ops.copy_(y, ops.view(x, [2, 3]))]) {
    const before = native.version(y.handle);
    apart(change);
    assert.equal(native.version(y.handle), before + 1);
  }
});
