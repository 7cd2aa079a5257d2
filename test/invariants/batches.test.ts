/** What must not depend on how the work is cut, kept or computed again; and that every objective learns. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { readAdapter } from "../../src/formats/adapter.ts";
import { loadModel } from "../../src/models/load.ts";
import { installAdapter } from "../../src/models/load-adapter.ts";
import type { MetricRow } from "../../src/runs/metrics.ts";
import { scope } from "../../src/torch/index.ts";
import { assertClose } from "../support/close.ts";
import {
  losses,
  type RunFixture,
  type RunRecord,
  runFixture,
  runTraining,
  tensorsOf,
  type Values,
} from "../support/runs.ts";
import { chatRows, writeRows } from "../support/tiny-model.ts";
import { logitsOf, type TinyName, tinyNames } from "../support/tiny-models.ts";

// 20 rows in steps of 8: the third step of each epoch holds 4
const fixtures = new Map<TinyName, RunFixture>();

/** The fixture of a family, made when it is first asked for. */
function fixtureOf(family: TinyName): RunFixture {
  const known = fixtures.get(family) ?? runFixture({ family, rows: 20, held: 4 });
  fixtures.set(family, known);
  return known;
}

after(() => {
  for (const fixture of fixtures.values()) fixture[Symbol.dispose]();
});

const fixture = fixtureOf("llama_tied");
const changes: Values = {
  eval_strategy: "no",
  per_device_train_batch_size: 8,
  max_steps: 10,
  learning_rate: 1e-3,
  logging_steps: 1,
};
const ten: Values = { ...fixture.values, ...changes };
const lora: Values = { use_peft: true, lora_r: 4, lora_alpha: 8, lora_dropout: 0 };

interface Outcome {
  losses: number[];
  rows: MetricRow[];
  /** Trained tensors of the last checkpoint. */
  weights: Map<string, Float32Array>;
  dir: string;
  record: RunRecord;
}

let runs = 0;

async function outcome(values: Values): Promise<Outcome> {
  runs += 1;
  const dir = fixture.path(`run-${runs}`);
  const record = await runTraining({ ...ten, ...values, output_dir: dir });
  const rows = record.events.flatMap((event) => (event.type === "log" ? [event.row] : []));
  const name = values["use_peft"] === true ? "adapter_model.safetensors" : "model.safetensors";
  const weights = tensorsOf(join(dir, "checkpoints", `checkpoint-${record.summary.step}`, name));
  return { losses: losses(record), rows, weights, dir, record };
}

/** Asserts that losses agree within 1e-6 relative at each of the ten steps. */
function assertSameLosses(got: Outcome, want: Outcome): void {
  assert.equal(want.losses.length, 10);
  assertClose(got.losses, want.losses, { rtol: 1e-6 });
}

/** What the weights of one run are beside another's, all in a row, and what that comes to. */
function residualsOf(
  got: Outcome,
  want: Outcome,
): { all: number[]; mean: number; rms: number; largest: number } {
  assert.deepEqual([...got.weights.keys()], [...want.weights.keys()]);
  const all = [...want.weights].flatMap(([name, values]) => {
    const own = got.weights.get(name) as Float32Array;
    return Array.from(values, (value, i) => (own[i] as number) - value);
  });
  const average = (numbers: number[]) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  const largest = all.reduce((max, r) => Math.max(max, Math.abs(r)), 0);
  return { all, mean: average(all), rms: Math.sqrt(average(all.map((r) => r * r))), largest };
}

/** Asserts that weights differ by rounding alone: by little, and not to one side. */
function assertRounding(got: Outcome, want: Outcome): void {
  const { mean, rms, largest } = residualsOf(got, want);
  // where a gradient is next to nothing, Adam makes a step of the size of the learning rate out of its rounding
  assert.ok(largest <= 1e-4 && rms <= 1e-6, `a weight differs by ${largest}, root mean square ${rms}`);
  assert.ok(Math.abs(mean) <= 0.2 * rms, `residuals lean to a side: mean ${mean}, root mean square ${rms}`);
}

/**
 * Asserts the same of averages in 8 bits: where a gradient's last bits put an average on the other side of the middle between two codes,
 * it is another code, and its weight's next steps differ by a part of the learning rate, 1e-3. That is rare, and to both sides.
 */
function assertRoundedAverages(got: Outcome, want: Outcome): void {
  assertClose(got.losses, want.losses, { rtol: 1e-5 });
  const { all, mean, rms, largest } = residualsOf(got, want);
  const moved = all.filter((r) => Math.abs(r) > 1e-6).length;
  assert.ok(moved <= all.length / 100, `${moved} of ${all.length} weights differ by more than rounding`);
  assert.ok(largest <= 1e-3 && rms <= 1e-5, `a weight differs by ${largest}, root mean square ${rms}`);
  assert.ok(Math.abs(mean) <= 0.2 * rms, `residuals lean to a side: mean ${mean}, root mean square ${rms}`);
}

/** Data of an objective: chats for supervised training. */
function dataFor(objective: string, rows = 20): Values {
  if (objective !== "sft") return {};
  return { train_data: writeRows(fixture.path(`chats-${rows}.jsonl`), chatRows(rows)), eval_data: null };
}

const kinds: [kind: string, values: Values][] = [
  ["LoRA", lora],
  ["full tuning", {}],
];
const objectives = ["sft", "dpo", "simpo", "slime"];

/** A batch of 8 in parts. */
const cuts: Values[] = [
  { per_device_train_batch_size: 1, gradient_accumulation_steps: 8 },
  { per_device_train_batch_size: 2, gradient_accumulation_steps: 4 },
  { max_tokens_per_micro_batch: 150 },
];

// most matrices have the 4,096 weights from which on bitsandbytes holds averages in 8 bits, and several blocks of weights
const wide = runFixture({
  ...{ rows: 20, held: 4 },
  config: { ...{ hidden_size: 64, intermediate_size: 128 }, ...{ num_attention_heads: 4, head_dim: 16 } },
});
after(() => wide[Symbol.dispose]());
const wideTen: Values = { ...wide.values, ...changes };
const fewerBits: [kind: string, values: Values][] = [
  ["LoRA over 4 bits", { ...wideTen, ...lora, load_in_4bit: true, bnb_4bit_use_double_quant: true }],
  ["LoRA over 8 bits", { ...wideTen, ...lora, load_in_8bit: true }],
  ["averages in 8 bits", { ...wideTen, optim: "adamw_8bit" }],
];

for (const objective of ["dpo", "slime"]) {
  for (const [kind, trained] of fewerBits) {
    test(`${objective}, ${kind}: one batch of 8 = its cuts = prompts not shared = logits held 7 rows at a time`, async () => {
      const want = await outcome({ ...trained, objective });
      for (const cut of [...cuts, { share_prompt: false }, { logits_chunk_size: 7 }]) {
        const got = await outcome({ ...trained, objective, ...cut });
        if (trained["optim"] === "adamw_8bit") assertRoundedAverages(got, want);
        else {
          assertSameLosses(got, want);
          assertRounding(got, want);
        }
      }
    });
  }
}

for (const objective of objectives) {
  for (const [kind, trained] of kinds) {
    test(`${objective}, ${kind}: one batch of 8 = 8 of 1 = 4 of 2 = cut by tokens`, async () => {
      const base = { ...trained, ...dataFor(objective), objective };
      const want = await outcome(base);
      for (const cut of cuts) {
        const got = await outcome({ ...base, ...cut });
        assertSameLosses(got, want);
        assertRounding(got, want);
      }
    });
  }
}

test("a step's metrics do not depend on its cut", async () => {
  const base = { ...lora, objective: "slime", log_entropy: true };
  const [want, got] = [await outcome(base), await outcome({ ...base, max_tokens_per_micro_batch: 100 })];
  for (const [i, row] of want.rows.entries()) {
    for (const name of ["rewards/margins", "logps/chosen", "slime/anchor_loss", "entropy", "grad_norm"]) {
      // a margin is a small difference of log-probs, and has their rounding
      const atol = name === "rewards/margins" ? 5e-7 : 0;
      assertClose(got.rows[i]?.[name] as number, row[name] as number, { rtol: 2e-5, atol });
    }
  }
});

for (const [kind, trained] of kinds) {
  test(`${kind}: the prompt shared = the prompt computed for each answer`, async () => {
    const want = await outcome({ ...trained, objective: "slime" });
    const got = await outcome({ ...trained, objective: "slime", share_prompt: false });
    assertSameLosses(got, want);
    assertRounding(got, want);
    const tokens = ({ rows }: Outcome) => rows.at(-1)?.["num_tokens"] as number;
    assert.ok(tokens(got) > 1.3 * tokens(want), `${tokens(got)} tokens, shared ${tokens(want)}`);
  });

  test(`${kind}: logits held 1 or 7 rows at a time = all at once`, async () => {
    const want = await outcome({ ...trained, objective: "slime" });
    for (const rows of [1, 7]) {
      const got = await outcome({ ...trained, objective: "slime", logits_chunk_size: rows });
      assertSameLosses(got, want);
      assertRounding(got, want);
    }
  });
}

for (const family of tinyNames) {
  test(`${family}: activations computed again = kept, bit for bit, with dropout`, async () => {
    const own = { ...fixtureOf(family).values, ...lora, lora_dropout: 0.3, objective: "dpo", max_steps: 5 };
    const want = await outcome(own);
    const got = await outcome({ ...own, gradient_checkpointing: true });
    assert.deepEqual(got.losses, want.losses);
    assert.deepEqual(got.weights, want.weights);
    const without = await outcome({ ...own, lora_dropout: 0 });
    assert.notDeepEqual(without.losses, want.losses, "dropout does nothing");
  });
}

for (const family of tinyNames) {
  for (const [kind, trained] of kinds) {
    test(`${family}, ${kind}: DPO begins at ln 2`, async () => {
      const { losses: all } = await outcome({
        ...fixtureOf(family).values,
        ...trained,
        objective: "dpo",
        max_steps: 1,
      });
      assertClose(all[0] as number, Math.LN2, { atol: 1e-6 });
    });
  }
}

for (const family of ["llama_tied", "gemma3"] as const) {
  for (const [kind, trained] of kinds) {
    test(`${family}, ${kind}: weights updated in the backward pass are those updated after it, bit for bit`, async () => {
      const base = { ...fixtureOf(family).values, ...trained, objective: "slime", max_grad_norm: 0 };
      const want = await outcome(base);
      const got = await outcome({ ...base, optimizer_in_backward: true });
      assert.deepEqual(got.losses, want.losses);
      assert.deepEqual([...got.weights], [...want.weights]);
      const norms = ({ rows }: Outcome) => rows.map((row) => row["grad_norm"] as number);
      assertClose(norms(got), norms(want), { rtol: 1e-5 });
    });
  }
}

test("DPO's reference computed before = computed at each step with the adapter off", async () => {
  const base = { ...lora, objective: "dpo", learning_rate: 5e-3 };
  const want = await outcome({ ...base, precompute_ref_log_probs: false });
  const got = await outcome({ ...base, precompute_ref_log_probs: true });
  assertSameLosses(got, want);
  assertRounding(got, want);
});

const adapters: [name: string, values: Values][] = [
  ["LoRA", {}],
  ["rsLoRA", { use_rslora: true }],
  ["DoRA", { use_dora: true }],
  ["LoRA with a trained head", { lora_modules_to_save: ["lm_head"] }],
];
for (const family of tinyNames) {
  test(`${family}: the merged model = the base with the adapter`, async () => {
    const values = fixtureOf(family).values;
    const ids = [1, 80, 90, 5, 42, 7, 199, 3, 263, 17];
    for (const [name, adapter] of adapters) {
      const { dir } = await outcome({
        ...values,
        ...lora,
        ...adapter,
        max_steps: 3,
        learning_rate: 1e-2,
        export_merged: true,
      });
      using _ = scope();
      const base = loadModel(values["model_name_or_path"] as string);
      const before = logitsOf(base, ids);
      installAdapter(base, readAdapter(join(dir, "adapter")));
      const adapted = logitsOf(base, ids);
      assertClose(logitsOf(loadModel(join(dir, "model")), ids), adapted, { atol: 2e-5 });
      const moved = adapted.reduce((max, x, i) => Math.max(max, Math.abs(x - (before[i] as number))), 0);
      assert.ok(moved > 1e-2, `${name} moved the logits by ${moved} only`);
    }
  });
}

for (const objective of objectives) {
  for (const [kind, trained] of kinds) {
    test(`${objective}, ${kind}: learns 8 rows`, async () => {
      const { rows } = await outcome({
        ...trained,
        ...dataFor(objective, 8),
        objective,
        max_train_rows: 8,
        max_steps: 30,
        learning_rate: 1e-2,
        lr_scheduler_type: "constant",
      });
      const [first, last] = [rows[0] as MetricRow, rows.at(-1) as MetricRow];
      const fall = (last["loss"] as number) / (first["loss"] as number);
      assert.ok(fall < 0.7, `the loss went from ${first["loss"]} to ${last["loss"]}`);
      if (objective === "sft") {
        assert.ok((last["mean_token_accuracy"] as number) > (first["mean_token_accuracy"] as number) + 0.2);
      } else {
        const margin = (row: MetricRow) => row["rewards/margins"] as number;
        assert.ok(margin(last) > margin(first) + 0.5, `margin ${margin(first)}, then ${margin(last)}`);
        assert.equal(last["rewards/accuracies"], 1);
      }
    });
  }
}
