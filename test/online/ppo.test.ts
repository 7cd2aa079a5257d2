/** PPO runs: the value model learns beside the policy, is kept with it bit for bit, and leaves it alone while it warms up. */
import assert from "node:assert/strict";
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { readSafetensorsHeader, readTensorBytes } from "../../src/formats/safetensors.ts";
import { writeSafetensors } from "../../src/formats/safetensors-write.ts";
import { loadRewardModel } from "../../src/models/load-reward-model.ts";
import { replay } from "../../src/recipes/replay.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { onlineFixture } from "../support/online-run.ts";
import {
  assertSameRun,
  checkpointOf,
  cutBack,
  filesOf,
  losses,
  notesOf,
  type RunRecord,
  runTraining,
  stateOf,
  tensorsOf,
  type Values,
} from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

/** Rollouts of four steps: two passes of two. */
const steps = 6;
const ppo: Values = {
  ...fixture.online,
  ...{ objective: "ppo", num_ppo_epochs: 2, num_mini_batches: 2, max_steps: steps },
  ...{ learning_rate: 2e-3, value_learning_rate: 5e-3 },
};
const kinds: Record<string, Values> = { full: {}, lora: { use_peft: true, lora_r: 4 } };
/** Of the trained tensors of a checkpoint or export. */
const weights: Record<string, string> = { full: "model.safetensors", lora: "adapter_model.safetensors" };

let runs = 0;

async function run(values: Values = {}): Promise<{ dir: string; record: RunRecord }> {
  const dir = fixture.path(`run-${++runs}`);
  return { dir, record: await runTraining({ ...ppo, ...values, output_dir: dir }) };
}

const rowsOf = (dir: string) => readMetrics(join(dir, "metrics.jsonl"));
const numberOf = (row: object | undefined, key: string) => (row as Record<string, number>)[key] as number;

for (const [kind, values] of Object.entries(kinds)) {
  const whole = await run(values);

  test(`${kind}: values are 0 at first, the ratio 1; then the value model learns`, () => {
    const rows = rowsOf(whole.dir);
    assert.equal(rows.length, steps);
    assert.equal(numberOf(rows[0], "val/ratio"), 1);
    assert.notEqual(numberOf(rows[1], "val/ratio"), 1);
    // without knowledge the errors are the returns
    assert.ok(Math.abs(numberOf(rows[0], "val/explained_variance")) < 1e-6);
    assert.equal(numberOf(rows[0], "val/clipfrac_avg"), 0);
    for (const row of rows) {
      assert.equal(numberOf(row, "val/skipped"), 0);
      for (const name of ["val/grad_norm", "grad_norm", "loss/value_avg"])
        assert.ok(numberOf(row, name) > 0, name);
      assert.ok(Math.abs(numberOf(row, "loss/policy_avg") - numberOf(row, "loss")) < 1e-12);
    }
    assert.ok(numberOf(rows[2], "loss/value_avg") < numberOf(rows[0], "loss/value_avg"));
  });

  test(`${kind}: two runs with one seed are the same, value model included`, async () => {
    const again = await run(values);
    assertSameRun(again.dir, whole.dir, steps);
    assert.ok(existsSync(join(whole.dir, "value_model", weights[kind] as string)));
  });

  for (let step = 1; step < steps; step++) {
    test(`${kind}: resumed after step ${step}`, async () => {
      const dir = cutBack(whole.dir, fixture.path(`${kind}-cut-${step}`), step);
      await runTraining({ ...ppo, ...values, output_dir: dir, resume_from_checkpoint: "latest" });
      assertSameRun(dir, whole.dir, steps);
    });
  }

  test(`${kind}: a step computed again, between rollouts and within one, is the same to the bit`, async () => {
    for (const step of [3, 5]) assert.equal((await replay({ run: whole.dir, step })).difference, null);
  });

  test(`${kind}: while the value model warms up the policy is left alone, to the bit, and after it learns`, async () => {
    const { dir } = await run({ ...values, value_warmup_steps: 3, max_steps: 5, weight_decay: 0.1 });
    const policyAt = (step: number) => tensorsOf(join(checkpointOf(dir, step), weights[kind] as string));
    const valueAt = (step: number) =>
      tensorsOf(join(checkpointOf(dir, step), "value_model", weights[kind] as string));
    assert.deepEqual(policyAt(2), policyAt(1));
    assert.deepEqual(policyAt(3), policyAt(1));
    assert.notDeepEqual(policyAt(4), policyAt(3));
    assert.notDeepEqual(valueAt(2), valueAt(1));
    if (kind === "full") {
      const start = tensorsOf(join(ppo["model_name_or_path"] as string, "model.safetensors"));
      assert.deepEqual(policyAt(3), start);
    }
    const optimizer = tensorsOf(join(checkpointOf(dir, 3), "optimizer.safetensors"));
    for (const [name, state] of optimizer)
      assert.ok(
        state.every((x) => x === 0),
        name,
      );
    const rows = rowsOf(dir);
    // the second part of a rollout has the sampler's log-probs, rounded otherwise
    for (const row of rows.slice(0, 4)) assert.ok(Math.abs(numberOf(row, "val/ratio") - 1) < 1e-6);
    const resumed = cutBack(dir, `${dir}-cut`, 2);
    const again = { ...ppo, ...values, value_warmup_steps: 3, max_steps: 5, weight_decay: 0.1 };
    await runTraining({ ...again, output_dir: resumed, resume_from_checkpoint: "latest" });
    assertSameRun(resumed, dir, 5);
  });

  test(`${kind}: a later run begins with the exported value model`, async () => {
    const from = join(whole.dir, "value_model");
    const { dir } = await run({
      ...values,
      value_model_name_or_path: from,
      value_learning_rate: 0,
      max_steps: 1,
    });
    const [before, now] = [whole.dir, dir].map((one) =>
      tensorsOf(join(one, "value_model", weights[kind] as string)),
    );
    assert.deepEqual(now, before);
    assert.notEqual(numberOf(rowsOf(dir)[0], "val/explained_variance"), 0);
  });
}

test("the exported value model is a reward model's directory", async () => {
  const { dir } = await run({ max_steps: 1 });
  const { config } = loadRewardModel(join(dir, "value_model"));
  assert.equal(config.isRewardModel, true);
  assert.ok(existsSync(join(dir, "value_model", "tokenizer.json")));
});

test("the best model is exported with the value model of its step", async () => {
  const { dir, record } = await run({
    ...{ eval_fraction: 0.34, eval_steps: 1, eval_on_start: false, max_steps: 3 },
    ...{ load_best_model_at_end: true, metric_for_best_model: "kl_init", greater_is_better: false },
  });
  const { best } = record.summary;
  assert.ok(best !== null && best.step < 3, "KL to the start is least before the last step");
  const [exported, kept] = [join(dir, "value_model"), join(checkpointOf(dir, best.step), "value_model")].map(
    (one) => tensorsOf(join(one, "model.safetensors")),
  );
  assert.deepEqual(exported, kept);
});

test("however a step is cut, losses and gradients of policy and value model are the same", async () => {
  const one = { num_mini_batches: 1, max_steps: 2 };
  const whole = rowsOf(
    (await run({ ...one, per_device_train_batch_size: 8, gradient_accumulation_steps: 1 })).dir,
  );
  for (const size of [1, 2, 4]) {
    const cut = await run({
      ...one,
      ...{ per_device_train_batch_size: size, gradient_accumulation_steps: 8 / size },
    });
    for (const [i, row] of rowsOf(cut.dir).entries()) {
      for (const name of ["loss", "grad_norm", "loss/value_avg", "val/grad_norm", "val/clipfrac_avg"]) {
        const [want, got] = [numberOf(whole[i], name), numberOf(row, name)];
        const message = `step ${i + 1}, ${name}: ${got} for ${want}, ${size}`;
        assert.ok(Math.abs(want - got) <= 2e-5 * Math.max(1, Math.abs(want)), message);
      }
    }
  }
});

test("what cannot be done is refused by name", async () => {
  await assert.rejects(
    run({ value_warmup_steps: 6 }),
    /value_warmup_steps: expected fewer than the run's 6 steps/,
  );
  const base = ppo["model_name_or_path"] as string;
  await assert.rejects(
    run({ value_model_name_or_path: base }),
    /expected a reward model, got a language model/,
  );
  await assert.rejects(run({ value_model_name_or_path: fixture.path("nowhere") }), /nowhere/);
  const other = fixture.path("other");
  cpSync(base, other, { recursive: true });
  const tokenizer = join(other, "tokenizer.json");
  writeFileSync(
    tokenizer,
    JSON.stringify({ ...JSON.parse(readFileSync(tokenizer, "utf8")), version: "1.0 " }),
  );
  await assert.rejects(run({ value_model_name_or_path: other }), /tokenizer\.json is another/);
  const lora = await run({ ...kinds["lora"], lora_modules_to_save: ["lm_head"], max_steps: 1 });
  const adapter = join(lora.dir, "value_model");
  await assert.rejects(run({ value_model_name_or_path: adapter }), /is an adapter, and without use_peft/);
  const policy = { use_peft: true, adapter_name_or_path: join(lora.dir, "adapter") };
  await assert.rejects(run(policy), /a policy's adapter has no value head/);
});

test("of the linears that stay floats a value model of fewer layers takes those that it has", async () => {
  const from = fixture.path("one-layer");
  cpSync(join((await run({ max_steps: 1 })).dir, "value_model"), from, { recursive: true });
  const path = join(from, "config.json");
  const config = JSON.parse(readFileSync(path, "utf8"));
  writeFileSync(path, JSON.stringify({ ...config, num_hidden_layers: 1 }));
  const last = `model.layers.${config.num_hidden_layers - 1}`;
  const file = readSafetensorsHeader(join(from, "model.safetensors"));
  const kept = [...file.tensors.values()].filter(({ name }) => !/\.layers\.[1-9]/.test(name));
  const tensors = kept.map((entry) => {
    const bytes = readTensorBytes(file, entry);
    return { ...entry, bytes: () => [bytes] };
  });
  rmSync(file.path);
  writeSafetensors(file.path, tensors);
  const inBits = { ...kinds["lora"], load_in_8bit: true, llm_int8_skip_modules: [last, "down_proj"] };
  const { dir } = await run({ ...inBits, value_model_name_or_path: from, max_steps: 1 });
  assert.ok(existsSync(join(dir, "value_model", weights["lora"] as string)));
});

test("a checkpoint that lost its value model is not resumed from", async () => {
  const { dir, record } = await run({ max_steps: 2 });
  assert.equal(losses(record).length, 2);
  const cut = cutBack(dir, `${dir}-cut`, 1);
  assert.ok(Object.keys(stateOf(checkpointOf(cut, 1))).some((name) => name.startsWith("value_model/")));
  rmSync(join(checkpointOf(cut, 1), "value_model"), { recursive: true });
  assert.ok(Object.keys(filesOf(cut)).length > 0);
  const again = { ...ppo, max_steps: 2, output_dir: cut, resume_from_checkpoint: "latest" };
  await assert.rejects(runTraining(again), /value_model/);
});

test("other weights below a value model's adapter, and another reward model, are noticed when a run is resumed", async () => {
  const [base, reward] = [fixture.path("value-base"), fixture.path("reward")];
  cpSync(join((await run({ max_steps: 1 })).dir, "value_model"), base, { recursive: true });
  cpSync(base, reward, { recursive: true });
  const values = { ...kinds["lora"], value_model_name_or_path: base, reward_model: reward, max_steps: 3 };
  const whole = await run(values);
  const resume = async (name: string) => {
    const outputDir = cutBack(whole.dir, fixture.path(name), 1);
    return runTraining({ ...ppo, ...values, output_dir: outputDir, resume_from_checkpoint: "latest" });
  };
  assert.deepEqual(
    notesOf(await resume("same")).filter((text) => /changed/.test(text)),
    [],
  );
  const other = join((await run({ max_steps: 2 })).dir, "value_model", "model.safetensors");
  cpSync(other, join(reward, "model.safetensors"));
  assert.match(
    notesOf(await resume("other-reward")).join("\n"),
    /changed since the run began: reward_model: /,
  );
  cpSync(other, join(base, "model.safetensors"));
  await assert.rejects(
    resume("other-base"),
    /the weights below the adapter of value_model_name_or_path changed since/,
  );
});
