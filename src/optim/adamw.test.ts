/** AdamW against `torch.optim.AdamW(fused=True)`, number by number. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { float32, golden } from "../../test/support/goldens.ts";
import { ops, type Tensor, tensor } from "../torch/index.ts";
import { AdamW, type AdamWOptions } from "./adamw.ts";

type Named = Record<string, number[]>;

interface Case {
  options: { lr: number; beta1: number; beta2: number; epsilon: number; weightDecay: number };
  shapes: Named;
  start: Named;
  grads: Record<string, number[][]>;
  after: { step: number; parameters: Named }[];
  state: Record<string, { exp_avg: number[]; exp_avg_sq: number[]; step: number[] }>;
}

const { adamw: cases } = golden<{ adamw: [Case, Case] }>("optim");
const steps = 10;

function optionsOf({ options }: Case): AdamWOptions {
  const { beta1, beta2, epsilon, weightDecay } = options;
  return { adam_beta1: beta1, adam_beta2: beta2, adam_epsilon: epsilon, weight_decay: weightDecay };
}

function parametersOf({ shapes, start }: Case): { name: string; tensor: Tensor }[] {
  return Object.entries(shapes).map(([name, shape]) => {
    const parameter = tensor(start[name] ?? [], shape);
    parameter.requiresGrad = true;
    return { name, tensor: parameter };
  });
}

/** Sets the gradients of step k (from 0) as the golden script did. */
function setGrads(run: Case, parameters: readonly { name: string; tensor: Tensor }[], k: number): void {
  for (const { name, tensor: parameter } of parameters) {
    const isAbsent = name === "idle" || (name === "tall" && k % 3 === 2);
    parameter.grad = isAbsent ? null : tensor(run.grads[name]?.[k] ?? [], run.shapes[name]);
  }
}

/**
 * Within a unit in the last place or two: the same kernel, which may round differently on another kind of CPU. Without FMA it rounds twice
 * where the goldens' processor rounds once, in each of the ten steps.
 */
const lastDigit =
  process.env["PREFTUNE_ISA"] === "baseline" ? { rtol: 5e-7, atol: 1e-7 } : { rtol: 2e-7, atol: 1e-8 };

for (const [index, run] of cases.entries()) {
  test(`case ${index}: ten steps equal torch's fused AdamW with the same groups`, () => {
    withoutLeaks(() => {
      const parameters = parametersOf(run);
      const optimizer = new AdamW(parameters, optionsOf(run));
      for (let k = 0; k < steps; k++) {
        setGrads(run, parameters, k);
        optimizer.step((run.options.lr * (k + 1)) / steps);
        const expected = run.after.find(({ step }) => step === k + 1);
        if (expected === undefined) continue;
        for (const { name, tensor: parameter } of parameters) {
          assertClose(parameter, float32(expected.parameters[name] ?? []), lastDigit);
        }
      }
      const states = new Map(optimizer.stateTensors());
      for (const [name, state] of Object.entries(run.state)) {
        for (const [key, values] of Object.entries(state)) {
          const got = states.get(`${name}.${key}`);
          assert.ok(got !== undefined, `no state ${name}.${key}`);
          assertClose(got, float32(values), lastDigit);
        }
      }
    });
  });
}

test("a parameter without gradient is left alone, its state and step included", () => {
  const run = cases[0];
  withoutLeaks(() => {
    const parameters = parametersOf(run);
    const optimizer = new AdamW(parameters, optionsOf(run));
    for (let k = 0; k < steps; k++) {
      setGrads(run, parameters, k);
      optimizer.step(run.options.lr);
    }
    const states = new Map(optimizer.stateTensors());
    const idle = parameters.find((p) => p.name === "idle")?.tensor as Tensor;
    assert.deepEqual(idle.toNumbers(), float32(run.start["idle"] ?? []));
    assert.deepEqual(states.get("idle.step")?.toNumbers(), [0]);
    assert.ok(
      states
        .get("idle.exp_avg")
        ?.toNumbers()
        .every((x) => x === 0),
    );
    // every third of ten steps was without a gradient
    assert.deepEqual(states.get("tall.step")?.toNumbers(), [7]);
  });
});

test("vectors do not decay, matrices do", () => {
  withoutLeaks(() => {
    const matrix = tensor([1, 1], [1, 2]);
    const vector = tensor([1, 1]);
    const parameters = [
      { name: "matrix", tensor: matrix },
      { name: "vector", tensor: vector },
    ];
    for (const { tensor: parameter } of parameters) {
      parameter.requiresGrad = true;
      parameter.grad = ops.zerosLike(ops.detach(parameter));
    }
    const optimizer = new AdamW(parameters, {
      adam_beta1: 0.9,
      adam_beta2: 0.99,
      adam_epsilon: 1e-8,
      weight_decay: 0.5,
    });
    optimizer.step(0.1);
    // a zero gradient moves nothing; decay multiplies by 1 - lr · decay
    assertClose(matrix, [0.95, 0.95], { atol: 1e-7 });
    assert.deepEqual(vector.toNumbers(), [1, 1]);
  });
});

test("state tensors copied into a new optimiser continue bit for bit", () => {
  const run = cases[0];
  withoutLeaks(() => {
    const whole = parametersOf(run);
    const first = new AdamW(whole, optionsOf(run));
    for (let k = 0; k < 5; k++) {
      setGrads(run, whole, k);
      first.step(run.options.lr);
    }
    const resumed = whole.map(({ name, tensor: p }) => {
      const copy = ops.clone(ops.detach(p));
      copy.requiresGrad = true;
      return { name, tensor: copy };
    });
    const second = new AdamW(resumed, optionsOf(run));
    const saved = new Map([...first.stateTensors()].map(([name, t]) => [name, ops.clone(t)]));
    assert.equal(saved.size, 3 * whole.length);
    for (const [name, state] of second.stateTensors()) ops.copy_(state, saved.get(name) as Tensor);
    for (let k = 5; k < steps; k++) {
      for (const [optimizer, parameters] of [
        [first, whole],
        [second, resumed],
      ] as const) {
        setGrads(run, parameters, k);
        optimizer.step(run.options.lr);
      }
    }
    for (const [i, { tensor: p }] of whole.entries()) {
      assert.deepEqual(resumed[i]?.tensor.toNumbers(), p.toNumbers());
    }
  });
});
