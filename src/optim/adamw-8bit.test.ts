/** AdamW with averages in 8 bits against bitsandbytes' AdamW8bit on the CPU: the kernel, and the same by torch's operators. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { golden } from "../../test/support/goldens.ts";
import { dequantiseBlocks, dynamicMap, quantiseBlocks } from "../nn/blockwise.ts";
import { manualSeed, noGrad, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import { AdamW } from "./adamw.ts";
import { plainStep, type State8, stateCodes } from "./adamw-8bit.ts";

interface After {
  step: number;
  /** Bytes in base 64. */
  parameters: Record<string, string>;
  states: Record<string, Record<string, string>>;
}

const run = golden<{
  signed: number[];
  unsigned: number[];
  options: { lr: number; beta1: number; beta2: number; epsilon: number; weightDecay: number };
  shapes: Record<string, number[]>;
  after: After[];
}>("adamw-8bit");
const options = {
  optim: "adamw_8bit",
  adam_beta1: run.options.beta1,
  adam_beta2: run.options.beta2,
  adam_epsilon: run.options.epsilon,
  weight_decay: run.options.weightDecay,
} as const;
const steps = 6;
const scales = [1, 0.1, 0.01, 0.001, 0.0001, 0.00001, 0.000001];

/** As the golden script makes numbers. */
function pattern(shape: readonly number[], seed: number): Tensor {
  const n = shape.reduce((a, b) => a * b, 1);
  const values = Array.from(
    { length: n },
    (_, i) =>
      ((((i * 7919 + seed * 104729) % 2003) - 1001) / 1001) *
      (scales[(i + Math.floor(i / 256) + seed) % 7] ?? 0),
  );
  return tensor(values, shape);
}

const bytesOf = (text: string): Buffer => Buffer.from(text, "base64");

function floatsOf(text: string): number[] {
  const bytes = bytesOf(text);
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

function parameters(): { name: string; tensor: Tensor }[] {
  return Object.entries(run.shapes).map(([name, shape], k) => {
    const weight = ops.mul(pattern(shape, k + 1), 10);
    weight.requiresGrad = true;
    return { name, tensor: weight };
  });
}

function setGrads(own: readonly { tensor: Tensor }[], step: number): void {
  for (const [k, { tensor: weight }] of own.entries()) weight.grad = pattern(weight.shape, 10 * step + k + 4);
}

/** Entries one apart may be taken where rounding differs by a digit and a number lies between them. */
function assertCodes(actual: readonly number[], expected: string, what: string): void {
  const wanted = [...bytesOf(expected)];
  assert.equal(actual.length, wanted.length);
  const apart = actual.map((code, i) => Math.abs(code - (wanted[i] ?? 0)));
  assert.ok(Math.max(...apart) <= 1, `${what}: ${Math.max(...apart)} entries apart`);
  const other = apart.filter((distance) => distance > 0).length;
  assert.ok(other <= wanted.length / 500, `${what}: ${other} of ${wanted.length} are other entries`);
}

function assertAfter(
  expected: After,
  own: readonly { name: string; tensor: Tensor }[],
  states: ReadonlyMap<string, Tensor>,
): void {
  for (const { name, tensor: weight } of own) {
    assertClose(weight, floatsOf(expected.parameters[name] ?? ""), { rtol: 1e-5, atol: 1e-6 });
    for (const [key, stored] of Object.entries(expected.states[name] ?? {})) {
      assertState(states, { name, key }, stored);
    }
  }
}

function assertState(
  states: ReadonlyMap<string, Tensor>,
  { name, key }: { name: string; key: string },
  stored: string,
): void {
  // of fewer than 4,096 numbers: float32, under torch's names
  const small = states.get(`${name}.${key === "state1" ? "exp_avg" : "exp_avg_sq"}`);
  const state = small ?? (states.get(`${name}.${key}`) as Tensor);
  if (state.dtype === "uint8") assertCodes(state.toNumbers(), stored, `${name}.${key}`);
  else assertClose(state, floatsOf(stored), { rtol: 1e-5, atol: 1e-12 });
}

test("the tables are bitsandbytes'", () => {
  using _ = scope();
  assert.deepEqual(dynamicMap(true).toNumbers(), run.signed);
  assert.deepEqual(dynamicMap(false).toNumbers(), run.unsigned);
});

test("steps of the kernel are bitsandbytes' AdamW8bit, tensors below 4,096 numbers in float32", () => {
  withoutLeaks(() => {
    const own = parameters();
    using optimizer = new AdamW(own, options);
    for (let step = 0; step < steps; step++) {
      setGrads(own, step);
      optimizer.step(run.options.lr);
      const expected = run.after.find((after) => after.step === step + 1);
      if (expected !== undefined) assertAfter(expected, own, new Map(optimizer.stateTensors()));
    }
    const types = [...optimizer.stateTensors()].flatMap(([name, { dtype }]) =>
      name.endsWith("state1") || name.endsWith("exp_avg") ? [`${name} ${dtype}`] : [],
    );
    assert.deepEqual(types, ["wide.state1 uint8", "vector.state1 uint8", "small.exp_avg float32"]);
  });
});

/** The state of a tensor of the optimiser, as one object. */
function stateOf(optimizer: AdamW, name: string): State8 {
  const prefix = `${name}.`;
  const own = [...optimizer.stateTensors()].filter(([key]) => key.startsWith(prefix));
  return Object.fromEntries(
    own.map(([key, value]) => [key.slice(prefix.length), value]),
  ) as unknown as State8;
}

test("steps by torch's operators are the same", () => {
  withoutLeaks(() => {
    const own = parameters();
    using optimizer = new AdamW(own, options);
    using codes = stateCodes("cpu");
    const { lr, beta1, beta2, epsilon: eps } = run.options;
    for (let step = 0; step < steps; step++) {
      setGrads(own, step);
      for (const { name, tensor: parameter } of own.slice(0, 2)) {
        const state = stateOf(optimizer, name);
        noGrad(() => ops.add_(state.step, tensor([1], [])));
        const weightDecay = parameter.shape.length > 1 ? run.options.weightDecay : 0;
        const grad = parameter.grad as Tensor;
        const rates = { lr, beta1, beta2, weightDecay, eps };
        plainStep({ parameter, grad, state }, { codes, rates }, null);
      }
    }
    assertAfter(run.after.at(-1) as After, own.slice(0, 2), new Map(optimizer.stateTensors()));
  });
});

test("in stretches torch's operators give the bits of the whole tensor's", () => {
  withoutLeaks(() => {
    using codes = stateCodes("cpu");
    const { lr, beta1, beta2, epsilon: eps, weightDecay } = run.options;
    const rates = { lr, beta1, beta2, weightDecay, eps };
    const after = (stretch: number) => {
      const own = parameters();
      using optimizer = new AdamW(own, options);
      for (let step = 0; step < 3; step++) {
        setGrads(own, step);
        for (const { name, tensor: parameter } of own.slice(0, 2)) {
          const updated = { parameter, grad: parameter.grad as Tensor, state: stateOf(optimizer, name) };
          noGrad(() => ops.add_(updated.state.step, tensor([1], [])));
          plainStep(updated, { codes, rates }, null, stretch);
        }
      }
      return [...own.map(({ tensor: of }) => of), ...[...optimizer.stateTensors()].map(([, of]) => of)].map(
        (of) => of.toNumbers(),
      );
    };
    const whole = after(2 ** 30);
    for (const stretch of [256, 1024]) assert.deepEqual(after(stretch), whole);
  });
});

test("a step that is skipped changes nothing, by the kernel and by torch's operators", () => {
  withoutLeaks(() => {
    const own = parameters().slice(0, 1);
    using optimizer = new AdamW(own, options);
    setGrads(own, 0);
    optimizer.step(run.options.lr);
    const everything = () => [own[0]?.tensor as Tensor, ...[...optimizer.stateTensors()].map(([, of]) => of)];
    const before = everything().map((of) => of.toNumbers());
    setGrads(own, 1);
    const skipped = tensor([1], []);
    optimizer.step(run.options.lr, { skipped });
    assert.deepEqual(
      everything().map((of) => of.toNumbers()),
      before,
    );
    using codes = stateCodes("cpu");
    const parameter = own[0]?.tensor as Tensor;
    const updated = { parameter, grad: parameter.grad as Tensor, state: stateOf(optimizer, "wide") };
    const rates = { lr: 1, beta1: 0.9, beta2: 0.99, weightDecay: 0, eps: 1e-8 };
    plainStep(updated, { codes, rates }, skipped);
    assert.deepEqual(
      everything().map((of) => of.toNumbers()),
      before,
    );
  });
});

test("a number is stored as the nearest entry, blocks of zeros as zeros, whatever the block's end", () => {
  withoutLeaks(() => {
    manualSeed(3);
    const code = dynamicMap(true);
    const table = code.toNumbers();
    const values = ops.mul(ops.normal_(ops.zeros([700])), ops.exp(ops.normal_(ops.zeros([700]), 0, 4)));
    noGrad(() => ops.zero_(ops.narrow(values, 0, 256, 256)));
    const { codes, absmax } = quantiseBlocks(values, code, 256);
    const most = absmax.toNumbers();
    const numbers = values.toNumbers();
    const stored = dequantiseBlocks({ codes, absmax }, code, 256).toNumbers();
    assert.equal(most.length, 3);
    assert.deepEqual(
      stored.slice(256, 512),
      Array.from({ length: 256 }, () => 0),
    );
    for (const [i, value] of numbers.entries()) {
      const block = most[Math.floor(i / 256)] ?? 0;
      const nearest = Math.min(...table.map((entry) => Math.abs(entry * block - value)));
      const got = Math.abs((stored[i] ?? 0) - value);
      assert.ok(got <= nearest * (1 + 1e-5) + block * 1e-7, `${value} of ${block} is stored as ${stored[i]}`);
    }
  });
});
