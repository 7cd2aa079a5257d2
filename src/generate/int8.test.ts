/**
 * Weights in 8 bits: what generation computes is what the codes stand for, by another way; companions, cuts, threads and instruction
 * sets change no bit; how far it is from the floats.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { fixturePath } from "../../test/support/fixture-files.ts";
import { generateRequest } from "../../test/support/generate-request.ts";
import { quantisationOfForm } from "../formats/quantisation.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadModel } from "../models/load.ts";
import { Linear } from "../nn/linear.ts";
import { isProjection, namedModules, namedTensors } from "../nn/module.ts";
import { EightBitHead, EightBitLinear, quantiseEightBits } from "../nn/quantised-linear.ts";
import {
  batchInvariant,
  manualSeed,
  noGrad,
  ops,
  scope,
  setThreads,
  type Tensor,
  threads,
} from "../torch/index.ts";

import { Engine } from "./engine.ts";
import { openEngine } from "./open-engine.ts";

const dir = fixturePath("qwen3", "model");
const promptIds = Array.from({ length: 90 }, (_, i) => (7 * i + (i >> 3)) % 32);

/** Log-probs of the prompt's tokens by the engine, and its greedy answer. */
function told(model: CausalLM): { logprobs: number[]; ids: number[] } {
  using engine = new Engine({ model, tokenizer: null });
  const logprobs: number[] = [];
  const ids: number[] = [];
  const request = generateRequest({ promptIds, maxNewTokens: 8, temperature: 0, promptLogprobs: 0 });
  engine.submit("x", request, (event) => {
    if (event.type === "error") throw new Error(event.message);
    if (event.type === "prompt") logprobs.push(...event.tokens.flatMap(({ logprob }) => logprob ?? []));
    if (event.type === "token") ids.push(event.id);
  });
  while (engine.step());
  return { logprobs, ids };
}

/** Puts floats in the place of all that is held in 8 bits: the numbers that the codes stand for. */
function widened(model: CausalLM): CausalLM {
  for (const { owner, key, module } of [...namedModules(model)]) {
    if (module instanceof EightBitLinear) owner[key] = new Linear(module.dense("float32"), module.bias);
  }
  return model;
}

const most = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);

test("a model in int8 has every linear and the head in 8 bits, and computes with the numbers that they stand for", () => {
  withoutLeaks(() => {
    const quantise = quantisationOfForm("int8");
    const model = loadModel(dir, { dtype: "float32", quantise });
    const linears = [...namedModules(model)].filter(({ module }) => isProjection(module));
    assert.ok(linears.length > 7 && linears.every(({ module }) => module instanceof EightBitLinear));
    assert.ok(model.lm_head instanceof EightBitHead);
    const got = told(model);
    const want = told(widened(loadModel(dir, { dtype: "float32", quantise })));
    assert.equal(got.logprobs.length, promptIds.length - 1);
    assert.ok(most(got.logprobs.map((value, i) => value - (want.logprobs[i] as number))) < 1e-5);
    assert.deepEqual(got.ids, want.ids);
    // the change that quantising makes: not nothing, and small
    const floats = told(loadModel(dir, { dtype: "float32" }));
    const changes = got.logprobs.map((value, i) => Math.abs(value - (floats.logprobs[i] as number)));
    const mean = changes.reduce((a, b) => a + b) / changes.length;
    assert.ok(mean > 1e-4 && mean < 0.1, `${mean} nats`);
  });
});

test("adapters beside a base in int8 share its codes and its head", () => {
  const source = { model: dir, adapters: new Map([["a", fixturePath("qwen3", "lora")]]) };
  using open = openEngine({
    ...source,
    tokenizer: null as never,
    device: "cpu",
    dtype: "float32",
    quantise: quantisationOfForm("int8"),
  });
  const ids: number[] = [];
  const request = { ...generateRequest({ promptIds, maxNewTokens: 3, temperature: 0 }), adapter: "a" };
  open.engine.submit("x", request, (event) => {
    if (event.type === "error") throw new Error(event.message);
    if (event.type === "token") ids.push(event.id);
  });
  while (open.engine.step());
  assert.equal(ids.length, 3);
});

test("int8 elsewhere than on the CPU is refused", () => {
  const source = { model: dir, tokenizer: null as never, adapters: new Map(), dtype: "float32" } as const;
  assert.throws(
    () => openEngine({ ...source, device: "cuda:0", quantise: quantisationOfForm("int8") }),
    /^ConfigError: weights: int8 is computed on the CPU, and the model would be on cuda:0\. Leave it out, or set device: cpu\.$/,
  );
});

/** (rows, width) · (width, outputs) with the weight in 8 bits, by rows of `x` at a time. */
function product(linear: EightBitLinear, x: Tensor, rows: number): number[] {
  const parts = Array.from({ length: Math.ceil(x.size(0) / rows) }, (_, i) =>
    batchInvariant(() =>
      linear.forward(ops.narrow(x, 0, i * rows, Math.min(rows, x.size(0) - i * rows))).toNumbers(),
    ),
  );
  return parts.flat();
}

for (const [outputs, width] of [
  [130, 72],
  [51, 747],
  [24, 1600],
  [1, 1],
] as const) {
  test(`(${outputs}, ${width}) in 8 bits: rows one by one, together and on two threads are the same to the bit`, () => {
    using _ = scope();
    const before = threads();
    noGrad(() => {
      manualSeed(outputs);
      const weight = ops.normal_(ops.zeros([outputs, width], { dtype: "float32" }), 0, 1);
      const { codes, scale } = quantiseEightBits([outputs, width], "cpu", (from, to) =>
        ops.narrow(ops.view(weight, [-1]), 0, from, to - from),
      );
      const linear = new EightBitLinear([outputs, width], null, codes, scale);
      const x = ops.normal_(ops.zeros([70, width], { dtype: "float32" }), 0, 1);
      const want = ops.matmul(ops.to(x, "float64"), ops.t(ops.to(linear.dense("float32"), "float64")));
      const alone = product(linear, x, 1);
      const errors = want.toNumbers().map((value, i) => value - (alone[i] as number));
      assert.ok(most(errors) / Math.sqrt(width) < 2e-5, `${most(errors)}`);
      try {
        for (const rows of [2, 8, 9, 17, 70]) {
          setThreads(rows === 17 ? 2 : before);
          assert.deepEqual(product(linear, x, rows), alone, `${rows} rows`);
        }
      } finally {
        setThreads(before);
      }
    });
  });
}

test("nothing but what asks for it is in 8 bits: loading as training does gives floats", () => {
  const model = loadModel(dir, { dtype: "float32", copy: true });
  assert.ok([...namedTensors(model)].every(([, { dtype }]) => dtype === "float32"));
});
