/** What a run is told of its reference. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "../config/load-config.ts";
import { referenceNotes } from "./references.ts";

const common = { model_name_or_path: "model", train_data: "rows.jsonl", output_dir: "run" };

test("a start that was computed before is said to be too coarse for lambda_start in bfloat16, and what is exact", () => {
  const of = (values: Record<string, unknown>) => loadConfig({ values: { ...common, ...values } }).config;
  const anchored = { objective: "slime", lambda_start: 1 };
  const [lora = "", ...others] = referenceNotes(of({ ...anchored, use_peft: true }), "bfloat16");
  assert.match(lora, /in bfloat16 another batch .* set dtype: float32, or precompute_ref_log_probs: false/);
  assert.deepEqual(others, []);
  const [full = ""] = referenceNotes(of({ ...anchored, use_peft: false }), "bfloat16");
  assert.match(full, /set dtype: float32\.$/);
  for (const [values, dtype] of [
    [anchored, "float32"],
    [{ ...anchored, use_peft: true, precompute_ref_log_probs: false }, "bfloat16"],
    [{ objective: "slime", chosen_floor: 0 }, "bfloat16"],
    [{ objective: "dpo" }, "bfloat16"],
  ] as const) {
    assert.deepEqual(referenceNotes(of(values), dtype), []);
  }
});
