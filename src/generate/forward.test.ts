/**
 * A sequence's logits are the same to the bit alone and in any company, and however its tokens came into the cache: every family, with and without adapters, in float32 and
 * bfloat16, for every instruction set that torch can be held to.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import {
  adaptPatterned,
  type TinyName,
  tinyAdapterConfig,
  tinyModel,
} from "../../test/support/tiny-models.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { KVCache, type PageSpan } from "../nn/kv-cache.ts";
import { readProcessor } from "../setup/hardware.ts";
import { setsOf } from "../setup/instruction-set.ts";
import { type DType, noGrad, ops, scope, setThreads, type Tensor, threads } from "../torch/index.ts";
import { cacheShape, logitsAfter, newHidden, nextLogits } from "./forward.ts";

const adapters = {
  none: null,
  LoRA: tinyAdapterConfig({ targetModules: ["q_proj", "o_proj", "up_proj", "down_proj"] }),
  DoRA: tinyAdapterConfig({ useDora: true, modulesToSave: ["lm_head"] }),
};
/** Widths that no vector register divides, with more numbers in a row than are summed up at once. */
const odd = { hidden_size: 72, intermediate_size: 747, vocab_size: 1021 };
const counts = { float32: [2, 3, 5, 8, 17, 32, 36], bfloat16: [2, 7, 19] };

/** Sequences in a cache, each a prompt of its own length and one token more. */
function sequencesOf(model: CausalLM, dtype: DType, count: number) {
  const cache = new KVCache(cacheShape(model, dtype));
  const parts = { model, cache, dtype };
  const tokens = Array.from({ length: count }, (_, i) => {
    const ids = Array.from({ length: 1 + ((7 * i) % 40) }, (__, t) => (5 * t + 3 * i) % 32);
    const span: PageSpan = { pages: [], length: 0 };
    cache.extend([span], ids.length);
    using _scope = scope();
    noGrad(() => newHidden(parts, [{ span, ids }]));
    cache.extend([span], 1);
    return { span, id: (11 * i + 1) % 32 };
  });
  /** The logits of some of the sequences, as the bits they are made of. */
  const bits = (places: readonly number[]): string[] => {
    using _scope = scope();
    const chosen = places.map((place) => tokens[place] as (typeof tokens)[number]);
    const logits = noGrad(() => nextLogits(parts, chosen));
    return places.map((_, i) => {
      const row = ops.select(logits, 0, i).data();
      return Buffer.from(row.buffer, row.byteOffset, row.byteLength).toString("hex");
    });
  };
  return { bits, [Symbol.dispose]: () => cache[Symbol.dispose]() };
}

/** The first sequences together, in the reverse order, against each alone. */
function assertAlike(model: CausalLM, dtype: keyof typeof counts): void {
  const all = Array.from({ length: Math.max(...counts[dtype]) }, (_, i) => i);
  using sequences = sequencesOf(model, dtype, all.length);
  const alone = all.map((i) => sequences.bits([i])[0] as string);
  assert.equal(new Set(alone).size, alone.length, "sequences that differ");
  for (const count of counts[dtype]) {
    const places = all.slice(0, count).reverse();
    const want = places.map((i) => alone[i]);
    assert.deepEqual(sequences.bits(places), want, `${count} rows`);
  }
}

/** Logits after `ids`, which come into the cache in pieces that begin at `cuts`. */
function bitsAfter(
  model: CausalLM,
  dtype: DType,
  { ids, cuts }: { ids: readonly number[]; cuts: readonly number[] },
) {
  using cache = new KVCache(cacheShape(model, dtype));
  const span: PageSpan = { pages: [], length: 0 };
  using _scope = scope();
  let logits: Tensor | null = null;
  for (const [i, first] of cuts.entries()) {
    cache.extend([span], (cuts[i + 1] ?? ids.length) - first);
    const parts = { model, cache, dtype };
    // one token comes as a new one of an answer does
    logits = noGrad(() =>
      span.length - first === 1
        ? nextLogits(parts, [{ span, id: ids[first] as number }])
        : logitsAfter(model, newHidden(parts, [{ span, ids: ids.slice(first, span.length) }]), [
            span.length - first - 1,
          ]),
    );
  }
  return Buffer.from(new Float32Array(logits?.toNumbers() ?? []).buffer).toString("hex");
}

/** A prompt in one piece, in several, and token by token. */
function assertCutsAlike(model: CausalLM, dtype: DType): void {
  const ids = Array.from({ length: 75 }, (_, i) => (7 * i + (i >> 3)) % 32);
  const whole = bitsAfter(model, dtype, { ids, cuts: [0] });
  for (const cuts of [[0, 1, 64], [0, 31, 33, 74], ids.map((_, i) => i)]) {
    assert.equal(bitsAfter(model, dtype, { ids, cuts }), whole, `${cuts.slice(0, 4)}`);
  }
}

function modelOf(name: TinyName, kind: keyof typeof adapters, changes: Record<string, unknown> = {}) {
  const model = tinyModel(name, changes);
  const config = adapters[kind];
  if (config !== null) adaptPatterned(model, config);
  return model;
}

/** Set in the processes that the last tests start. */
const isInner = process.env["PREFTUNE_INNER"] !== undefined;

for (const name of ["llama_tied", "qwen3", "gemma3"] as const) {
  for (const dtype of ["float32", "bfloat16"] as const) {
    for (const kind of ["none", "LoRA", "DoRA"] as const) {
      test(`${name}, ${dtype}, adapter ${kind}: logits do not depend on the sequences beside`, {
        skip: isInner,
      }, () => {
        withoutLeaks(() => assertAlike(modelOf(name, kind), dtype));
      });
      test(`${name}, ${dtype}, adapter ${kind}: logits do not depend on how a prompt is cut`, {
        skip: isInner && kind !== "none",
      }, () => {
        withoutLeaks(() => assertCutsAlike(modelOf(name, kind, odd), dtype));
      });
    }
    test(`${name}, ${dtype}, odd widths, on two threads`, { skip: isInner && name === "qwen3" }, () => {
      const before = threads();
      try {
        setThreads(2);
        withoutLeaks(() => assertAlike(modelOf(name, "LoRA", odd), dtype));
      } finally {
        setThreads(before);
      }
    });
  }
}

// the kernels of other processors, in processes that are told to do without newer instructions, and torch's own products
const narrower = setsOf(readProcessor().features).filter((set) => set === "baseline" || set === "avx2");
for (const [variable, value] of [
  ...narrower.map((set) => ["PREFTUNE_ISA", set] as const),
  ["PREFTUNE_MATMUL", "torch"] as const,
]) {
  test(`the same with ${variable}=${value}`, { skip: isInner }, () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [import.meta.filename], {
      env: { ...process.env, [variable]: value, PREFTUNE_INNER: "1", NODE_TEST_CONTEXT: undefined },
      encoding: "utf8",
    });
    assert.equal(status, 0, `${stdout}\n${stderr}`);
  });
}
