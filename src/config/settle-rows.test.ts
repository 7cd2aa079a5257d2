import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig, type ResolvedConfig } from "./load-config.ts";
import { resolvedToYaml } from "./print-config.ts";
import type { RunConfig } from "./run-config.ts";
import { settleRows } from "./settle-rows.ts";

function given(values: Readonly<Record<string, unknown>>): ResolvedConfig {
  return loadConfig({
    values: { model_name_or_path: "m", output_dir: "o", train_data: "d.jsonl", ...values },
  });
}

/** Rows of a step and micro-batches of a rank. */
function stepOf({ config }: { config: RunConfig }): [rows: number | null, accumulation: number] {
  return [config.train_batch_size, config.gradient_accumulation_steps];
}

const four = { per_device_train_batch_size: 2, gradient_accumulation_steps: 2 };

test("one process without train_batch_size stays as it is", () => {
  const resolved = given(four);
  assert.equal(settleRows(resolved, 1, null), resolved);
  assert.equal(settleRows(resolved, 1, resolved.config), resolved);
});

test("on several ranks the first start settles the rows of a step", () => {
  const { config, provenance } = settleRows(given(four), 3, null);
  assert.deepEqual(stepOf({ config }), [12, 2]);
  assert.deepEqual(provenance.train_batch_size, {
    kind: "derived",
    why: "2 rows × 2 × 3 ranks at the first start",
  });
});

test("resumed on 2, 1, 4 and 5 ranks the rows stay, and accumulation follows", () => {
  let saved = settleRows(given(four), 3, null).config;
  for (const [ranks, accumulation] of [
    [2, 3],
    [1, 6],
    [4, 2],
    [5, 2],
  ] as const) {
    const resumed = settleRows(given(four), ranks, saved);
    assert.deepEqual(stepOf(resumed), [12, accumulation]);
    saved = resumed.config;
  }
});

test("a run that one process began keeps its rows on four ranks, one of an earlier version too", () => {
  const { train_batch_size: _, ...earlier } = given(four).config;
  const saved = { ...earlier, train_batch_size: null };
  assert.deepEqual(stepOf(settleRows(given(four), 4, saved)), [4, 1]);
});

test("train_batch_size as given decides on any number of ranks, and the saved one does not replace it", () => {
  const resolved = given({ train_batch_size: 24, per_device_train_batch_size: 4 });
  assert.deepEqual(stepOf(resolved), [24, 6]);
  assert.deepEqual(stepOf(settleRows(resolved, 4, null)), [24, 2]);
  const saved = settleRows(given(four), 3, null).config;
  assert.equal(settleRows(resolved, 2, saved).config.train_batch_size, 24);
});

test("steps that are counted in tokens are not settled", () => {
  const resolved = given({ tokens_per_step: 4096 });
  assert.equal(settleRows(resolved, 4, null), resolved);
});

test("more ranks than rows are refused", () => {
  assert.throws(
    () => settleRows(given({ train_batch_size: 3 }), 4, null),
    /train_batch_size: a step of 3 rows cannot be divided over 4 ranks\. Start at most 3, or .*train_batch_size: 4/,
  );
});

test("what was settled is written down and read again: the same rows on any number of ranks", () => {
  const yaml = resolvedToYaml(settleRows(given(four), 3, null));
  assert.match(yaml, /^train_batch_size: 12$/m);
  assert.doesNotMatch(yaml, /gradient_accumulation_steps/);
  assert.deepEqual(stepOf(loadConfig({ yaml })), [12, 6]);
});
