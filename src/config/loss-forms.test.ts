/** What is refused of the keys of losses on pairs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "./load-config.ts";

const BASE = "model_name_or_path: m\noutput_dir: out\ntrain_data: a.jsonl\n";

test("losses on pairs that cannot be meant are refused", () => {
  const cases: [yaml: string, expected: RegExp][] = [
    ["loss_type: [sigmoid, sft]\nloss_weights: [1]\n", /loss_weights: expected 2 numbers.*got 1/],
    ["loss_type: [sigmoid, sigmoid]\n", /loss_type: .*twice/],
    ["loss_type: sft\n", /loss_type: sft alone.*objective: sft/],
    ["loss_type: [cdpo]\n", /loss_type: expected one of .*"robust".*got the list \["cdpo"\]/],
    ["ld_alpha: 1.5\n", /ld_alpha: expected a number at least 0 and at most 1/],
    [
      "ld_alpha: 0.5\nreward_funcs: [{function: length}]\n",
      /ld_alpha: a sampled completion is in several pairs/,
    ],
    ["label_smoothing: 0.1\nloss_type: apo_zero\n", /label_smoothing has no effect here/],
    ["rpo_alpha: 1\n", /rpo_alpha.*loss_type: \[sigmoid, sft\]/],
  ];
  for (const [yaml, expected] of cases) {
    assert.throws(
      () =>
        loadConfig({
          yaml: `${BASE}objective: dpo
${yaml}`,
        }),
      expected,
    );
  }
  const { method } = loadConfig({
    yaml: `${BASE}objective: dpo\n`,
    overrides: [["loss_type", "sigmoid,sft"]],
  }).config;
  assert.deepEqual("loss_type" in method && method.loss_type, ["sigmoid", "sft"]);
});
