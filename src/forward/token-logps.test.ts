import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { idsOf, tokenSet } from "../base/token-set.ts";
import type { Residence } from "../models/causal-lm.ts";
import { backward, manualSeed, ops, type Tensor, tensor } from "../torch/index.ts";
import { HeadMatrix } from "./head-matrix.ts";
import type { KeptTokens } from "./kept-tokens.ts";
import { type GradOfRows, tokenLogps } from "./token-logps.ts";

const rows = 7;
const width = 5;
const vocabulary = 11;

function inputs(): { hidden: Tensor; weight: Tensor; targets: Tensor; g: Tensor } {
  manualSeed(1);
  const random = (shape: number[]) => ops.normal_(ops.zeros(shape, { dtype: "float32" }));
  return {
    hidden: random([rows, width]),
    weight: random([vocabulary, width]),
    targets: tensor([0, 10, 3, 3, 7, 1, 2], [rows], { dtype: "int64" }),
    g: random([rows]),
  };
}

/** `weight` in ranges of `count` rows, which are NaN but between entering and leaving; the last to come stays for the way back. */
function passing(weight: Tensor, count: number): HeadMatrix {
  const all = Array.from({ length: Math.ceil(vocabulary / count) }, (_, i) => {
    const [start, end] = [i * count, Math.min(vocabulary, (i + 1) * count)];
    return { start, end, rows: ops.full([end - start, width], Number.NaN, { dtype: "float32" }) };
  });
  const fill = (part: object): void => {
    const range = all.find((one) => one === part);
    if (range !== undefined) ops.copy_(range.rows, ops.slice(weight, 0, range.start, range.end));
  };
  const residence: Residence = {
    enter: fill,
    leave(part, comesBack) {
      const range = all.find((one) => one === part);
      if (!(comesBack && range === all.at(-1))) ops.mul_(range?.rows ?? weight, Number.NaN);
    },
    complete() {},
    rowsOf: () => all,
  };
  return new HeadMatrix(weight, residence);
}

/** The ranges' rows of the gradient of all of a weight. */
function gradIn(weightGrad: Tensor): GradOfRows {
  return ({ start, end }) => ops.slice(weightGrad, 0, start, end);
}

/** The same by autograd over whole logits: log-probs and both gradients. */
function oracle({ hidden, weight, targets, g }: ReturnType<typeof inputs>) {
  const h = ops.detach(hidden);
  const w = ops.detach(weight);
  h.requiresGrad = true;
  w.requiresGrad = true;
  const logits = ops.linear(h, w);
  const picked = ops.squeeze(ops.gather(logits, 1, ops.unsqueeze(targets, 1)), 1);
  const logps = ops.sub(picked, ops.logsumexp(logits, [1]));
  backward([logps], { gradients: [g] });
  return { logps: logps.toNumbers(), h: h.grad as Tensor, w: w.grad as Tensor };
}

for (const [columns, inRange] of [
  [1, vocabulary],
  [2, 3],
  [3, vocabulary],
  [11, 4],
  [11, vocabulary],
  [100, 1],
] as const) {
  test(`log-probs and both gradients equal autograd's, ${columns} columns at a time, ${inRange} rows gathered`, () => {
    withoutLeaks(() => {
      const given = inputs();
      const want = oracle(given);
      const { hidden, weight, targets, g } = given;
      const frozen = tokenLogps(hidden, passing(weight, inRange), targets, {
        logits_chunk_size: columns,
        gradient: "hidden",
      });
      assertClose(frozen.logps, want.logps, { atol: 1e-6 });
      assertClose(frozen.backward(g, null), want.h.toNumbers(), { atol: 1e-6 });
      for (const bytes of [0, 4 * rows * 4, 4 * rows * vocabulary]) {
        const trained = tokenLogps(hidden, passing(weight, inRange), targets, {
          logits_chunk_size: columns,
          logits_kept_mib: bytes / 2 ** 20,
          gradient: "hidden-and-weight",
        });
        const weightGrad = ops.full([vocabulary, width], 2, { dtype: "float32" });
        assertClose(trained.backward(g, gradIn(weightGrad)), want.h.toNumbers(), { atol: 1e-6 });
        assertClose(ops.sub(weightGrad, 2), want.w.toNumbers(), { atol: 2e-6 });
      }
    });
  });
}

test("entropy and accuracy by hand", () => {
  withoutLeaks(() => {
    // logits (0, ln 3): p = (1/4, 3/4)
    const hidden = tensor([1, 1], [2, 1]);
    const weight = tensor([0, Math.log(3)], [2, 1]);
    const targets = tensor([0, 1], [2], { dtype: "int64" });
    const pass = tokenLogps(hidden, new HeadMatrix(weight), targets, { gradient: "none", entropies: true });
    assertClose(pass.logps, [Math.log(0.25), Math.log(0.75)], { atol: 1e-6 });
    const entropy = -(0.25 * Math.log(0.25) + 0.75 * Math.log(0.75));
    assertClose(pass.entropies as Tensor, [entropy, entropy], { atol: 1e-6 });
    assertClose(pass.correct, [0, 1], {});
  });
});

test("logits too large for exp do not overflow", () => {
  withoutLeaks(() => {
    const pass = tokenLogps(
      tensor([1000], [1, 1]),
      new HeadMatrix(tensor([1, -1], [2, 1])),
      tensor([1], [1], { dtype: "int64" }),
      {
        gradient: "none",
      },
    );
    assertClose(pass.logps, [-2000], {});
  });
});

test("entropies add up over parts of the vocabulary", () => {
  withoutLeaks(() => {
    const { hidden, weight, targets } = inputs();
    const options = { gradient: "none", entropies: true } as const;
    const whole = tokenLogps(hidden, new HeadMatrix(weight), targets, options).entropies?.toNumbers() ?? [];
    for (const columns of [1, 4, 10]) {
      const parted = tokenLogps(hidden, new HeadMatrix(weight), targets, {
        ...options,
        logits_chunk_size: columns,
      });
      assertClose(parted.entropies as Tensor, whole, { atol: 1e-6 });
      assert.equal(whole.length, rows);
    }
  });
});

/** Log-probs, entropies and hits of softmax(hidden Wᵀ / T), its products capped or not, over the tokens kept: plain loops in float64 over whole rows of logits. */
function dense(
  { hidden, weight, targets }: Record<"hidden" | "weight" | "targets", readonly number[]>,
  {
    temperature,
    cap,
    keptTokens,
  }: { temperature: number; cap: number | null; keptTokens: KeptTokens | null },
): { logps: number[]; entropies: number[]; correct: number[] } {
  const out = { logps: [] as number[], entropies: [] as number[], correct: [] as number[] };
  for (const [row, target] of targets.entries()) {
    const set = keptTokens?.[row] ?? null;
    const ids = set === null ? Array.from({ length: vocabulary }, (_, id) => id) : idsOf(set);
    const logits = ids.map((id) => {
      let product = 0;
      for (let d = 0; d < width; d++)
        product += (hidden[row * width + d] ?? 0) * (weight[id * width + d] ?? 0);
      return (cap === null ? product : cap * Math.tanh(product / cap)) / temperature;
    });
    const sum = Math.log(logits.reduce((total, logit) => total + Math.exp(logit), 0));
    const own = logits[ids.indexOf(target)] ?? Number.NaN;
    out.logps.push(own - sum);
    out.entropies.push(logits.reduce((total, logit) => total - Math.exp(logit - sum) * (logit - sum), 0));
    out.correct.push(own >= Math.max(...logits) ? 1 : 0);
  }
  return out;
}

/** dL/dvalues, by central differences. */
function slopes(values: number[], lossOf: () => number): number[] {
  const step = 1e-5;
  return values.map((value, i) => {
    const at = (moved: number) => {
      values[i] = moved;
      return lossOf();
    };
    const slope = (at(value + step) - at(value - step)) / (2 * step);
    values[i] = value;
    return slope;
  });
}

// of targets [0, 10, 3, 3, 7, 1, 2]: two, the target alone, all, tokens of all parts, of one part, every one, first and last
// lists and, as `tokenSet` has it where that is shorter, bits
const someKept: KeptTokens = [
  [0, 9],
  [10],
  null,
  [3, 4, 5, 10],
  [6, 7],
  [...Array(vocabulary).keys()],
  [2, 10],
].map((ids, i) => {
  if (ids === null) return null;
  return i % 2 === 0 ? Int32Array.from(ids) : tokenSet(Int32Array.from(ids), vocabulary);
});

test("the entropy's gradient needs a pass made for it", () => {
  const { hidden, weight, targets, g } = inputs();
  const pass = tokenLogps(hidden, new HeadMatrix(weight), targets, { gradient: "hidden", entropies: true });
  assert.throws(() => pass.backward(g, null, g), /expected a pass with entropies: "with gradient"/);
});

for (const [temperature, cap] of [
  [0.7, null],
  [1, null],
  [1.3, null],
  [1, 1.5],
  [0.7, 2],
] as const) {
  for (const [what, keptTokens] of [["all tokens", null] as const, ["the tokens kept", someKept] as const]) {
    test(`temperature ${temperature}, cap ${cap ?? "none"}, over ${what}: values and gradients are those of whole rows in float64`, () => {
      withoutLeaks(() => {
        const { hidden, weight, targets, g } = inputs();
        const numbers = {
          hidden: hidden.toNumbers(),
          weight: weight.toNumbers(),
          targets: targets.toNumbers(),
        };
        const law = { temperature, cap, keptTokens };
        const want = dense(numbers, law);
        const upstream = g.toNumbers();
        // of log-probs alone, and of entropies beside them
        for (const ofEntropy of [null, [0.5, -1, 2, 0.25, 0, -0.75, 1]]) {
          const lossOf = () => {
            const { logps, entropies } = dense(numbers, law);
            return logps.reduce(
              (sum, logp, row) =>
                sum + logp * (upstream[row] ?? 0) + (entropies[row] ?? 0) * (ofEntropy?.[row] ?? 0),
              0,
            );
          };
          const wantHidden = slopes(numbers.hidden, lossOf);
          const wantWeight = slopes(numbers.weight, lossOf);
          const e = ofEntropy === null ? null : tensor(ofEntropy);
          const entropies = ofEntropy === null ? true : "with gradient";
          for (const [i, logitsChunkSize] of [1, 2, 3, 11, 100].entries()) {
            const matrix = () => passing(weight, i % 2 === 0 ? vocabulary : 4);
            const options = { ...law, logits_chunk_size: logitsChunkSize, entropies } as const;
            const frozen = tokenLogps(hidden, matrix(), targets, { ...options, gradient: "hidden" });
            assertClose(frozen.logps, want.logps, { atol: 2e-6 });
            assertClose(frozen.entropies as Tensor, want.entropies, { atol: 2e-6 });
            assertClose(frozen.correct, want.correct, {});
            assertClose(frozen.backward(g, null, e), wantHidden, { atol: 5e-6 });
            for (const bytes of [0, 4 * rows * 4, 4 * rows * vocabulary]) {
              const trained = tokenLogps(hidden, matrix(), targets, {
                ...options,
                logits_kept_mib: bytes / 2 ** 20,
                gradient: "hidden-and-weight",
              });
              const weightGrad = ops.zeros([vocabulary, width], { dtype: "float32" });
              assertClose(trained.backward(g, gradIn(weightGrad), e), wantHidden, { atol: 5e-6 });
              assertClose(weightGrad, wantWeight, { atol: 5e-6 });
            }
          }
        }
      });
    });
  }
}

test("a frozen head in bfloat16 is copied in float32 a part at a time, however few rows there are", () => {
  const [vocabulary, width] = [40_000, 2048];
  withoutLeaks(() => {
    const weight = ops.full([vocabulary, width], 0.01, { dtype: "bfloat16" });
    const hidden = ops.full([2, width], 0.01, { dtype: "bfloat16" });
    const targets = tensor([3, 39_999], [2], { dtype: "int64" });
    const before = process.resourceUsage().maxRSS;
    const pass = tokenLogps(hidden, new HeadMatrix(weight), targets, { gradient: "hidden" });
    const grown = (process.resourceUsage().maxRSS - before) / 1024;
    const even = -Math.log(vocabulary);
    assertClose(pass.logps, [even, even], { atol: 1e-3 });
    // all of it in float32 are 312 MiB; under a sanitizer freed memory stays a while
    assert.ok(grown < 100 || process.env["ASAN_OPTIONS"] !== undefined, `${grown.toFixed(0)} MiB more`);
  });
});
