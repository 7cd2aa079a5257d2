/** Runs by each loss on rows, in each of its forms: the same however a step is cut, and bit for bit when one is resumed. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { offlineMethods } from "../../src/methods/index.ts";
import {
  assertSameRun,
  cutBack,
  evaluationsOf,
  losses,
  metricsApart,
  runFixture,
  runTraining,
  type Values,
} from "../support/runs.ts";

// 7 rows in steps of 4: the last of each epoch has 3
const fixture = runFixture({ rows: 7, held: 3 });
after(() => fixture[Symbol.dispose]());

const common: Values = {
  ...{ ...fixture.values, use_peft: true, lora_r: 4, lora_dropout: 0.2, learning_rate: 5e-3 },
  ...{ per_device_train_batch_size: 4, max_steps: 4, logging_steps: 1, eval_steps: 2, save_steps: 1 },
};

const dpo = (changes: Values): Values => ({ objective: "dpo", ...changes });
const single: Values = { objective: "kto", unpair: true };
/** What `objective` is and how it differs from its defaults. SLIME and reward models have tests that are about them alone. */
const forms: readonly Values[] = [
  ...["sigmoid_norm", "ipo", "hinge", "bco_pair", "nca_pair", "apo_zero", "apo_down"].map((loss_type) =>
    dpo({ loss_type, ...(loss_type === "sigmoid_norm" ? { beta: 5 } : {}) }),
  ),
  dpo({ loss_type: "robust", label_smoothing: 0.2 }),
  dpo({ label_smoothing: 0.1, ld_alpha: 0.5 }),
  dpo({ loss_type: ["sigmoid", "bco_pair", "sft"], loss_weights: [0.8, 0.2, 1] }),
  dpo({ loss_type: ["hinge", "sft"], use_weighting: true, precompute_ref_log_probs: false }),
  { objective: "dpop", dpop_lambda: 5 },
  { objective: "orpo" },
  { objective: "orpo", preset: "trl" },
  { objective: "cpo", label_smoothing: 0.1 },
  { objective: "cpo", loss_type: "ipo", cpo_alpha: 0.5 },
  { objective: "simpo", cpo_alpha: 0.5 },
  { objective: "sft" },
  { ...single, undesirable_weight: 0.5 },
  { ...single, loss_type: "apo_zero_unpaired", desirable_weight: 1.5 },
];

for (const [i, form] of forms.entries()) {
  test(`${JSON.stringify(form)}: single rows, and a resumed run`, async () => {
    const at = (name: string): string => fixture.path(`${i}-${name}`);
    const record = await runTraining({ ...common, ...form, output_dir: at("whole") });
    assert.equal(new Set(losses(record)).size, 4, "a loss that changes");
    assert.equal(evaluationsOf(record).length, 3);

    const cut = { per_device_train_batch_size: 1, gradient_accumulation_steps: 4 };
    const other = { per_device_eval_batch_size: 2, gradient_checkpointing: true, logits_chunk_size: 5 };
    await runTraining({ ...common, ...form, ...cut, ...other, output_dir: at("cut") });
    // signs of log-ratios that are 0 but for rounding
    const { name, by } = metricsApart(at("cut"), at("whole"), /accuracies$|frac_penalised$|num_tokens/);
    assert.ok(by < 2e-4, `${name} by ${by}`);

    const copy = cutBack(at("whole"), at("resumed"), 1);
    await runTraining({ ...common, ...form, output_dir: copy, resume_from_checkpoint: "latest" });
    assertSameRun(copy, at("whole"), 4);
  });
}

test("every method on rows is among them", () => {
  const known = new Set([...forms.map((form) => form["objective"]), "slime", "reward"]);
  assert.deepEqual(
    [...offlineMethods].filter((name) => !known.has(name)),
    [],
  );
});
