/** Tests of environment.ts: what a run's configuration makes of how a model is run. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Environment, numericsOf, settleEnvironment } from "./environment.ts";

const keys = {
  gradient_checkpointing: true,
  gradient_checkpointing_blocks: 3,
  activation_offloading: true,
  logits_chunk_size: 512,
  logits_kept_mib: 7,
  batch_invariant: false,
};
const environment: Environment = { device: "cuda:0", dtype: "bfloat16", threads: 2, matmul: "torch" };

test("every key of how a model is run arrives, and none besides", () => {
  const others = { max_steps: 5, seed: 1 };
  assert.deepEqual(numericsOf({ ...keys, ...others }, environment), { ...keys, dtype: "bfloat16" });
});

test("activations that are to leave a CPU's memory for a CPU's memory are refused", () => {
  const cpu = { ...environment, device: "cpu" };
  assert.throws(
    () => numericsOf(keys, cpu),
    /^ConfigError: activation_offloading: the model runs on the CPU.*Leave it out\.$/,
  );
  assert.equal(numericsOf({ ...keys, activation_offloading: false }, cpu).activation_offloading, false);
});

test("products whose rows do not depend on each other are refused where there are none", () => {
  const cpu = { ...environment, device: "cpu" };
  const wanted = { ...keys, activation_offloading: false, batch_invariant: true };
  assert.equal(numericsOf(wanted, cpu).batch_invariant, true);
  assert.throws(
    () => numericsOf(wanted, environment),
    /^ConfigError: batch_invariant: the model runs on cuda:0, .* set device: cpu\.$/,
  );
});

test("what is not asked for is as auto: a program's options may be empty", () => {
  const auto = settleEnvironment({ device: "auto", dtype: "auto", threads: null });
  assert.deepEqual(settleEnvironment({}), auto);
});
