/** Bounds on KL, gold and good completions of an on-policy run: they warn, stop or restore without any watched prompts. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { breachesOf } from "../../src/evaluate/diversity/collapse.ts";
import { readEvaluations } from "../../src/runs/evaluation-records.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import type { TrainEvent } from "../../src/runs/train-events.ts";
import { onlineFixture } from "../support/online-run.ts";
import { checkpointOf, runTraining, type Values } from "../support/runs.ts";
import { writeRows } from "../support/tiny-model.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

const recipe: Values = {
  ...{
    ...fixture.online,
    learning_rate: 0.02,
    max_steps: 6,
    eval_fraction: 0.34,
    eval_steps: 2,
    save_steps: 2,
  },
  eval_reward_funcs: [`${fixture.rewards}#shorter`],
};

async function run(name: string, values: Values) {
  const dir = fixture.path(name);
  const { events, summary } = await runTraining({ ...recipe, ...values, output_dir: dir });
  const seen = events.filter(
    (event): event is Extract<TrainEvent, { type: "collapse" }> => event.type === "collapse",
  );
  return { dir, summary, seen };
}

test("a KL above its bound is reported, and training continues", async () => {
  const { dir, summary, seen } = await run("warned", { watch_thresholds: { kl: 0.05, chosen_fall: null } });
  assert.equal(summary.reason, "done");
  assert.match(seen[0]?.breaches.join() ?? "", /kl_init rose by more than 0\.05 since step 0/);
  const rows = readMetrics(join(dir, "metrics.jsonl")).filter(({ eval_kl_init: kl }) => Number(kl) > 0.05);
  assert.equal(seen.length, rows.length);
});

test("within its bound nothing is reported", async () => {
  const { seen } = await run("quiet", { watch_thresholds: { kl: 1e6, chosen_fall: null, gold_fall: 1e6 } });
  assert.deepEqual(seen, []);
});

test("it stops the run with nothing exported, or goes back to the best checkpoint before", async () => {
  const stopped = await run("stopped", { watch_thresholds: { kl: 0.05 }, watch_action: "stop" });
  assert.equal(stopped.summary.reason, "collapsed");
  assert.ok(stopped.summary.step < 6);
  assert.deepEqual(stopped.summary.exported, []);
  const first = stopped.seen[0]?.step ?? 0;
  const restored = await run("restored", {
    // the first evaluation is within the bound, a later one is not
    watch_thresholds: { kl: klAt(stopped.dir, first) * 1.01, chosen_fall: null },
    watch_action: "restore",
  });
  assert.equal(restored.summary.reason, "collapsed");
  assert.equal(restored.summary.collapse?.restored, first);
  assert.equal(restored.summary.exported.length, 1);
});

test("bounds on held-out good completions, of which there are none, are refused before a model is read", async () => {
  const prompts = readFileSync(String(fixture.online["train_data"]), "utf8").trim().split("\n");
  const alone = prompts.map((line) => {
    const { chosen: _, ...row } = JSON.parse(line);
    return row;
  });
  const blind = { train_data: writeRows(fixture.path("alone.jsonl"), alone) };
  const values = { ...recipe, ...blind, output_dir: fixture.path("blind") };
  for (const bounds of [{ drift: 0.5, tail: 3 }, { chosen_fall: 0.5 }]) {
    await assert.rejects(runTraining({ ...values, watch_thresholds: bounds }), {
      name: "ConfigError",
      message: new RegExp(`${Object.keys(bounds).join(", ")}: expected held-out rows with a good answer`),
    });
  }
  // what nobody asked for does not keep such a run from training
  await run("not-blind", { ...blind, max_steps: 1, eval_steps: 1, watch_thresholds: { kl: 100 } });
});

function klAt(dir: string, step: number): number {
  const row = readMetrics(join(dir, "metrics.jsonl")).find(
    (each) => each.global_step === step && "eval_kl_init" in each,
  );
  return row?.["eval_kl_init"] as number;
}

test("other eval_reward_funcs on resume: the change of gold, its bound and the best model are reset", async () => {
  const module = fixture.path("gold.mjs");
  const constant = (value: number) =>
    `export const gold = ({ completion_ids: all }) => all.map(() => ${value});`;
  const values = { lr_scheduler_type: "constant", warmup_ratio: 0, metric_for_best_model: "gold" };
  const best = { ...values, greater_is_better: true, load_best_model_at_end: true };
  const gold = { ...best, eval_reward_funcs: [`${module}#gold`] };
  const bounds = { watch_thresholds: { gold_fall: 0.1, chosen_fall: null }, watch_action: "stop" };
  writeFileSync(module, constant(80));
  await run("other-gold", { ...gold, max_steps: 2 });
  await run("no-gold", { ...best, metric_for_best_model: "reward", eval_reward_funcs: null, max_steps: 2 });
  writeFileSync(module, constant(0.5));
  const resume = async (name: string, more: Values) => {
    const options = { resume_from_checkpoint: "latest", ...more, output_dir: fixture.path(name) };
    const { events, summary } = await runTraining({ ...recipe, ...gold, ...options });
    return { notes: events.flatMap((event) => (event.type === "note" ? [event.text] : [])), summary };
  };
  const other = await resume("other-gold", { ...bounds, max_steps: 6 });
  assert.equal(other.summary.reason, "done");
  assert.match(
    other.notes.join("\n"),
    /other ones than before: the change of gold is measured from step 4 on/,
  );
  assert.match(other.notes.join("\n"), /step 2 was the best so far by eval_gold of other eval_reward_funcs/);
  const state = readFileSync(join(checkpointOf(fixture.path("other-gold"), 6), "trainer_state.json"), "utf8");
  assert.deepEqual(JSON.parse(state).best, { step: 4, value: 0.5 });
  const records = readEvaluations(join(fixture.path("other-gold"), "evaluations.jsonl"));
  assert.deepEqual(
    records.map(({ gold_start: since }) => since),
    [0, 0, 4, 4],
  );
  // measured for the first time at step 4, when it is watched
  const first = await resume("no-gold", { ...bounds, max_steps: 4 });
  assert.match(
    first.notes.join("\n"),
    /measured for the first time: the change of gold is measured from step 4/,
  );
});

test("a fall of gold, of good completions, and a KL that is no number are breaches", () => {
  const start = { step: 0, watchStep: 0, metrics: { gold: 0.5 } };
  const none = { repetition: null, ended_properly: null, distinct_2: null, self_bleu: null, malformed: null };
  const bounds = {
    ...none,
    length: null,
    chosen_down: null,
    chosen_fall: 1,
    drift: null,
    tail: null,
    kl: null,
    gold_fall: 0.2,
  };
  const texts = (now: Record<string, number>) => breachesOf(now, start, bounds).map(({ text }) => text);
  assert.deepEqual(texts({ gold: 0.35, kl_init: 3, "logps/chosen_delta_init": -0.9 }), []);
  assert.match(texts({ gold: 0.25 }).join(), /gold fell by more than 0\.2 since step 0: from 0\.5 to 0\.25/);
  assert.match(texts({ "logps/chosen_delta_init": -1.5 }).join(), /chosen_delta_init fell by more than 1/);
  for (const klInit of [Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.match(texts({ kl_init: klInit }).join(), /kl_init is (NaN|Infinity)/);
  }
});
