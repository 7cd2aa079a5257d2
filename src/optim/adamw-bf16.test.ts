/** AdamW with averages in bfloat16: rounded at random without a bias, the same at each repetition, by the kernel and by torch's operators. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { manualSeed, noGrad, ops, type Tensor, tensor } from "../torch/index.ts";
import { AdamW } from "./adamw.ts";

const options = { adam_beta1: 0.9, adam_beta2: 0.999, adam_epsilon: 1e-8, weight_decay: 0.1 } as const;
const rates = { lr: 1e-2, beta1: 0.9, beta2: 0.999, weightDecay: 0.1, eps: 1e-8 };
const shape = [64, 80];

function parameters(): { name: string; tensor: Tensor }[] {
  manualSeed(5);
  return ["one", "other"].map((name) => {
    const weight = ops.normal_(ops.zeros(shape));
    weight.requiresGrad = true;
    return { name, tensor: weight };
  });
}

function setGrads(own: readonly { tensor: Tensor }[], step: number): void {
  manualSeed(100 + step);
  for (const { tensor: weight } of own) weight.grad = ops.normal_(ops.zeros(shape), 0.1, 1);
}

const stateOf = (optimizer: AdamW, name: string): Tensor =>
  new Map(optimizer.stateTensors()).get(name) as Tensor;

test("one step is float32's, and each average one of the two bfloat16 numbers around float32's", () => {
  withoutLeaks(() => {
    const [own, wide] = [parameters(), parameters()];
    using optimizer = new AdamW(own, { ...options, optim: "adamw_bf16" });
    using exact = new AdamW(wide, options);
    for (const all of [own, wide]) setGrads(all, 0);
    optimizer.step(rates.lr);
    exact.step(rates.lr);
    const [one, single] = [own, wide].map((all) => all.flatMap(({ tensor: weight }) => weight.toNumbers()));
    assertClose(one ?? [], single ?? [1], { rtol: 1e-5, atol: 1e-6 });
    for (const key of ["one.exp_avg", "one.exp_avg_sq"]) {
      const got = stateOf(optimizer, key);
      assert.equal(got.dtype, "bfloat16");
      const want = stateOf(exact, key).toNumbers();
      for (const [i, value] of ops.to(got, "float32").toNumbers().entries()) {
        // neighbours are a 128th apart, of what begins a power of two
        assert.ok(Math.abs(value - (want[i] ?? 0)) <= Math.abs(want[i] ?? 0) / 127, `${key}[${i}]`);
      }
    }
  });
});

test("where rounding to the nearest stands still, the mean over a tensor follows float32", () => {
  withoutLeaks(() => {
    const [own, wide] = [parameters(), parameters()];
    using optimizer = new AdamW(own, { ...options, optim: "adamw_bf16" });
    using exact = new AdamW(wide, options);
    for (let step = 0; step < 60; step++) {
      for (const { tensor: weight } of [...own, ...wide])
        weight.grad = ops.full(shape, 1 + step / 20, { dtype: "float32" });
      optimizer.step(rates.lr);
      exact.step(rates.lr);
    }
    const meanOf = (from: AdamW) => ops.mean(ops.to(stateOf(from, "one.exp_avg_sq"), "float32")).item();
    // 5,120 numbers, each some thousandths off at random: their mean is off by less than a ten-thousandth
    assert.ok(Math.abs(meanOf(optimizer) / meanOf(exact) - 1) < 1e-3);
    const [one, other] = ["one", "other"].map((name) =>
      ops.to(stateOf(optimizer, `${name}.exp_avg_sq`), "float32").toNumbers(),
    );
    assert.notDeepEqual(one, other, "each tensor is rounded by bits of its own");
  });
});

test("torch's operators round alike, and a step that is skipped changes nothing", () => {
  withoutLeaks(() => {
    const [own, plain] = [parameters(), parameters()];
    using optimizer = new AdamW(own, { ...options, optim: "adamw_bf16" });
    using other = new AdamW(plain, { ...options, optim: "adamw_bf16" });
    const at = (from: AdamW, key: string) => ["one", "other"].map((name) => stateOf(from, `${name}.${key}`));
    const plainly = (foundInf: Tensor | null) =>
      noGrad(() => {
        const averages = [at(other, "exp_avg"), at(other, "exp_avg_sq"), at(other, "step")] as const;
        const weights = plain.map(({ tensor: weight }) => weight);
        const grads = weights.map(({ grad }) => grad as Tensor);
        ops.adamwBf16_(weights, grads, ...averages, [0, 1], { ...rates, foundInf, plain: true });
      });
    for (let step = 0; step < 3; step++) {
      for (const all of [own, plain]) setGrads(all, step);
      optimizer.step(rates.lr);
      noGrad(() => {
        for (const count of at(other, "step")) ops.add_(count, tensor([1], []));
      });
      plainly(null);
    }
    const all = (of: readonly { tensor: Tensor }[], from: AdamW) =>
      [...of.map((one) => one.tensor), ...at(from, "exp_avg"), ...at(from, "exp_avg_sq")].map((one) =>
        ops.to(ops.detach(one), "float32").toNumbers(),
      );
    const [got, want] = [all(own, optimizer), all(plain, other)];
    for (const [i, numbers] of got.entries()) {
      const apart = numbers.filter((x, j) => Math.abs(x - (want[i]?.[j] ?? 0)) > 1e-5 * Math.abs(x) + 1e-7);
      assert.ok(apart.length <= numbers.length / 100, `${apart.length} of ${numbers.length} differ`);
    }
    const skipped = tensor([1], []);
    optimizer.step(rates.lr, { skipped });
    plainly(skipped);
    assert.deepEqual(all(own, optimizer), got);
    assert.deepEqual(all(plain, other), want);
  });
});

test("in stretches torch's operators give the bits of the whole tensor's", () => {
  withoutLeaks(() => {
    const after = (stretch: number) => {
      const own = parameters();
      using optimizer = new AdamW(own, { ...options, optim: "adamw_bf16" });
      const [one, other] = own as [(typeof own)[0], (typeof own)[0]];
      const of = (key: string) => own.map(({ name }) => stateOf(optimizer, `${name}.${key}`));
      const states = [of("exp_avg"), of("exp_avg_sq"), of("step")] as const;
      const weights = [one.tensor, other.tensor];
      for (let step = 0; step < 3; step++) {
        setGrads(own, step);
        const grads = weights.map(({ grad }) => grad as Tensor);
        noGrad(() => {
          for (const count of states[2]) ops.add_(count, tensor([1], []));
          ops.adamwBf16_(weights, grads, ...states, [0, 1], { ...rates, plain: true, stretch });
        });
      }
      return [...weights, ...states[0], ...states[1]].map((each) =>
        ops.to(ops.detach(each), "float32").toNumbers(),
      );
    };
    const whole = after(2 ** 30);
    for (const stretch of [999, 4096]) assert.deepEqual(after(stretch), whole);
    assert.throws(() => after(0), /expected a stretch of a number at least, got 0/);
  });
});
