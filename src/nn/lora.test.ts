/** LoRA, rsLoRA and DoRA layers against PEFT: outputs, gradients and merged weights; and modules trained in full. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { golden } from "../../test/support/goldens.ts";
import { deriveSeed } from "../base/random.ts";
import { backward, liveTensorCount, manualSeed, ops, type Tensor, tensor } from "../torch/index.ts";
import { Embedding, Linear } from "./linear.ts";
import { type AdapterSwitch, LoraLinear, SavedEmbedding, SavedLinear } from "./lora.ts";
import { FourBitLinear, quantiseFourBits } from "./quantised-linear.ts";

type Part = "A" | "B" | "magnitude";

interface Case {
  bias: boolean;
  useRslora: boolean;
  useDora: boolean;
  rank: number;
  alpha: number;
  base: { weight: number[]; bias?: number[] };
  initialMagnitude: number[] | null;
  adapter: Partial<Record<Part, number[]>>;
  x: number[];
  upstream: number[];
  y: number[];
  off: number[];
  merged: number[];
  grads: Partial<Record<Part | "x", number[]>>;
}

const { cases } = golden<{ cases: Case[] }>("lora");
const [rows, input, out] = [6, 8, 10];
const close = { rtol: 1e-5, atol: 2e-6 };
const dropoutSeed = 77;

/** Keys of tokens that all differ. */
function keysOf(tokens: number, first = 0): Tensor {
  const words = Array.from({ length: 2 * tokens }, (_, i) => deriveSeed(first, i) | 0);
  return tensor(Int32Array.from(words), [2, tokens]);
}

function baseOf({ base }: Case): Linear {
  return new Linear(tensor(base.weight, [out, input]), base.bias === undefined ? null : tensor(base.bias));
}

function layerOf(
  run: Case,
  adapters: AdapterSwitch = { enabled: true, dropoutKeys: null },
  dropout = 0.25,
): LoraLinear {
  const layer = new LoraLinear(baseOf(run), { ...run, dropout, dropoutSeed }, adapters);
  for (const [part, parameter] of partsOf(layer)) {
    const values = run.adapter[part] ?? [];
    ops.copy_(parameter, tensor(values, parameter.shape));
    parameter.requiresGrad = true;
  }
  return layer;
}

function partsOf(layer: LoraLinear): [Part, Tensor][] {
  const parts: [Part, Tensor][] = [
    ["A", layer.lora_A],
    ["B", layer.lora_B],
  ];
  if (layer.lora_magnitude_vector !== null) parts.push(["magnitude", layer.lora_magnitude_vector]);
  return parts;
}

for (const run of cases) {
  const name = `${run.useDora ? "DoRA" : "LoRA"}${run.useRslora ? ", rank-stabilised" : ""}${run.bias ? ", bias" : ""}`;

  test(`${name}: output, gradients and merged weight are PEFT's`, () => {
    withoutLeaks(() => {
      const layer = layerOf(run);
      const x = tensor(run.x, [rows, input]);
      x.requiresGrad = true;
      const y = layer.forward(x);
      assertClose(y, run.y, close);
      backward([y], { gradients: [tensor(run.upstream, [rows, out])] });
      for (const [part, parameter] of partsOf(layer)) {
        assertClose(parameter.grad as Tensor, run.grads[part] ?? [], close);
      }
      assertClose(x.grad as Tensor, run.grads.x ?? [], close);
      assertClose(layer.dense("float32"), run.merged, close);
    });
  });

  test(`${name}: merged weight = adapter; switched off = base, exactly`, () => {
    withoutLeaks(() => {
      const adapters: AdapterSwitch = { enabled: true, dropoutKeys: null };
      const layer = layerOf(run, adapters);
      const x = tensor(run.x, [rows, input]);
      const merged = new Linear(layer.dense("float32"), layer.bias);
      assertClose(merged.forward(x), layer.forward(x).toNumbers(), close);
      adapters.enabled = false;
      assert.deepEqual(layer.forward(x).toNumbers(), baseOf(run).forward(x).toNumbers());
      assertClose(layer.forward(x), run.off, close);
    });
  });

  test(`${name}: starts as the identity, A within ±1/√in`, () => {
    withoutLeaks(() => {
      manualSeed(1);
      const options = { ...run, dropout: 0, dropoutSeed };
      const layer = new LoraLinear(baseOf(run), options, { enabled: true, dropoutKeys: keysOf(rows) });
      const x = tensor(run.x, [rows, input]);
      assertClose(layer.forward(x), baseOf(run).forward(x).toNumbers(), { atol: run.useDora ? 1e-6 : 0 });
      const bound = 1 / Math.sqrt(input);
      const a = layer.lora_A.toNumbers();
      assert.ok(a.every((value) => Math.abs(value) <= bound));
      assert.ok(Math.max(...a) - Math.min(...a) > bound, "A is not spread over its range");
      assert.deepEqual(
        [layer.lora_A.shape, layer.lora_B.shape],
        [
          [run.rank, input],
          [out, run.rank],
        ],
      );
      if (run.initialMagnitude !== null) {
        assertClose(layer.lora_magnitude_vector as Tensor, run.initialMagnitude, { rtol: 1e-6 });
      }
    });
  });
}

/** The layer's output for a dropout mask (entries 0 or 1/(1-p)), by the formula. */
function withMask(run: Case, mask: Tensor): number[] {
  const layer = layerOf(run);
  const x = tensor(run.x, [rows, input]);
  const weight = tensor(run.base.weight, [out, input]);
  const dropped = ops.mul(x, mask);
  const scale = run.alpha / (run.useRslora ? Math.sqrt(run.rank) : run.rank);
  const low = ops.mul(ops.linear(ops.linear(dropped, layer.lora_A), layer.lora_B), scale);
  const base = baseOf(run).forward(x);
  if (layer.lora_magnitude_vector === null) return ops.add(base, low).toNumbers();
  const direction = ops.add(weight, ops.mul(ops.matmul(layer.lora_B, layer.lora_A), scale));
  const gain = ops.div(layer.lora_magnitude_vector, ops.linalgVectorNorm(direction, 2, [1]));
  const turned = ops.mul(ops.linear(dropped, weight), ops.sub(gain, 1));
  return ops.add(base, ops.add(turned, ops.mul(low, gain))).toNumbers();
}

for (const run of [cases[1], cases[5]] as [Case, Case]) {
  test(`${run.useDora ? "DoRA" : "LoRA"}: dropout drops the adapter's input alone, in training only`, () => {
    withoutLeaks(() => {
      const adapters: AdapterSwitch = { enabled: true, dropoutKeys: keysOf(rows) };
      const layer = layerOf(run, adapters);
      const x = tensor(run.x, [rows, input]);
      const first = layer.forward(x).toNumbers();
      assert.deepEqual(layer.forward(x).toNumbers(), first, "same keys, same mask");
      const ones = ops.ones([rows, input], { dtype: "float32" });
      const mask = ops.tokenDropout(ones, adapters.dropoutKeys as Tensor, dropoutSeed, 0.25);
      assertClose(first, withMask(run, mask), close);
      adapters.dropoutKeys = keysOf(rows, 1);
      assert.notDeepEqual(layer.forward(x).toNumbers(), first);
      adapters.dropoutKeys = null;
      assertClose(layer.forward(x), run.y, close);
    });
  });
}

function inFourBits(weight: Tensor): FourBitLinear {
  const shape = [64, 64] as const;
  const read = (from: number, to: number) => ops.narrow(ops.reshape(weight, [-1]), 0, from, to - from);
  const tensors = quantiseFourBits(shape, { quantType: "nf4", doubleQuant: false }, "cpu", read);
  return new FourBitLinear(shape, null, tensors);
}

for (const bits of [32, 4]) {
  test(`DoRA over ${bits} bits: making and running it leaves its tensors and its output, no matrix besides`, () => {
    withoutLeaks(() => {
      const weight = ops.uniform_(ops.zeros([64, 64], { dtype: "float32" }));
      const base = bits === 4 ? inFourBits(weight) : new Linear(weight, null);
      const adapters: AdapterSwitch = { enabled: true, dropoutKeys: keysOf(rows) };
      const before = liveTensorCount();
      const options = { rank: 4, alpha: 8, dropout: 0.25, dropoutSeed, useRslora: false, useDora: true };
      const layer = new LoraLinear(base, options, adapters);
      assert.equal(liveTensorCount() - before, 3);
      layer.lora_A.requiresGrad = true;
      const x = ops.ones([rows, 64], { dtype: "float32" });
      const running = liveTensorCount();
      layer.forward(x);
      assert.equal(liveTensorCount() - running, 1);
    });
  });
}

test("dropout keeps the mean", () => {
  const run = cases[0] as Case;
  withoutLeaks(() => {
    const times = 2000;
    const adapters: AdapterSwitch = { enabled: true, dropoutKeys: keysOf(times) };
    const layer = layerOf(run, adapters);
    const one = tensor(run.x.slice(0, input), [1, input]);
    const many = layer.forward(
      ops.reshape(ops.cat(Array.from({ length: times }, () => one)), [times, input]),
    );
    const mean = ops.mul(ops.sum(many, [0]), 1 / times).toNumbers();
    adapters.dropoutKeys = null;
    const still = layer.forward(one).toNumbers();
    const deviation = ops
      .sqrt(ops.mul(ops.sum(ops.pow(ops.sub(many, tensor(mean)), 2), [0]), 1 / times))
      .toNumbers();
    mean.forEach((value, i) => {
      const error = 4.5 * ((deviation[i] as number) / Math.sqrt(times));
      assertClose(value, still[i] as number, { atol: error });
      assert.ok((deviation[i] as number) > 0.01, "nothing was dropped");
    });
  });
});

test("bfloat16 base and activations: adapter and its gradients stay float32", () => {
  const run = cases[4] as Case;
  withoutLeaks(() => {
    const base = baseOf(run);
    const half = (t: Tensor) => ops.to(t, "bfloat16");
    const bias = base.bias === null ? null : half(base.bias);
    const layer = new LoraLinear(
      new Linear(half(base.weight), bias),
      { ...run, dropout: 0, dropoutSeed },
      { enabled: true, dropoutKeys: keysOf(rows) },
    );
    for (const [part, parameter] of partsOf(layer)) {
      assert.equal(parameter.dtype, "float32");
      ops.copy_(parameter, tensor(run.adapter[part] ?? [], parameter.shape));
      parameter.requiresGrad = true;
    }
    const y = layer.forward(half(tensor(run.x, [rows, input])));
    assert.equal(y.dtype, "bfloat16");
    assertClose(ops.to(y, "float32"), run.y, { rtol: 0.03, atol: 0.15 });
    backward([y], { gradients: [half(tensor(run.upstream, [rows, out]))] });
    for (const [part, parameter] of partsOf(layer)) {
      const grad = parameter.grad as Tensor;
      assert.equal(grad.dtype, "float32");
      const want = run.grads[part] ?? [];
      assertClose(grad, want, { atol: 0.03 * Math.max(...want.map(Math.abs)) });
    }
    assert.equal(layer.dense("float32").dtype, "float32");
    assertClose(layer.dense("float32"), run.merged, { rtol: 0.02, atol: 0.02 });
  });
});

test("SavedLinear: trains a copy, the base keeps its own and comes back when switched off", () => {
  withoutLeaks(() => {
    const adapters: AdapterSwitch = { enabled: true, dropoutKeys: null };
    const base = new Linear(tensor([1, 2, 3, 4], [2, 2]), tensor([1, 0]));
    const saved = new SavedLinear(base, adapters);
    const x = tensor([1, 1], [1, 2]);
    assert.deepEqual(saved.forward(x).toNumbers(), base.forward(x).toNumbers());
    saved.saved.requiresGrad = true;
    backward([ops.sum(saved.forward(x))]);
    assert.deepEqual(saved.saved.grad?.toNumbers(), [1, 1, 1, 1]);
    assert.equal(base.weight.requiresGrad, false);
    ops.copy_(ops.detach(saved.saved), tensor([0, 0, 5, 5], [2, 2]));
    assert.deepEqual(saved.weight.toNumbers(), [0, 0, 5, 5]);
    assert.deepEqual(saved.forward(x).toNumbers(), [1, 10]);
    adapters.enabled = false;
    assert.deepEqual(saved.weight.toNumbers(), [1, 2, 3, 4]);
    assert.deepEqual(saved.forward(x).toNumbers(), [4, 7]);
  });
});

test("SavedEmbedding: the same for a table, and a float16 table is trained in float32", () => {
  withoutLeaks(() => {
    const adapters: AdapterSwitch = { enabled: true, dropoutKeys: null };
    const saved = new SavedEmbedding(
      new Embedding(ops.to(tensor([1, 2, 3, 4], [2, 2]), "float16")),
      adapters,
    );
    assert.equal(saved.saved.dtype, "float32");
    const ids = tensor([1, 1], [2], { dtype: "int64" });
    saved.saved.requiresGrad = true;
    backward([ops.sum(saved.forward(ids))]);
    assert.deepEqual(saved.saved.grad?.toNumbers(), [0, 0, 2, 2]);
    ops.copy_(ops.detach(saved.saved), tensor([0, 0, 9, 9], [2, 2]));
    assert.deepEqual(saved.forward(ids).toNumbers(), [9, 9, 9, 9]);
    adapters.enabled = false;
    assert.deepEqual(ops.to(saved.forward(ids), "float32").toNumbers(), [3, 4, 3, 4]);
  });
});
