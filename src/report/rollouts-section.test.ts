/** Reports of on-policy runs: what the reward costs is drawn and stated, completions are shown and escaped. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadConfig } from "../config/load-config.ts";
import { appendEvaluation, type EvaluationRecord } from "../runs/evaluation-records.ts";
import { type MetricRow, MetricsWriter } from "../runs/metrics.ts";
import { RolloutsFile } from "../runs/rollouts.ts";
import { createRun } from "../runs/run-directory.ts";
import type { RolloutRow } from "../runs/train-events.ts";
import { writeReport } from "./run-report.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-report-online-"));
after(() => rmSync(root, { recursive: true }));

const hostile = '<script>alert("x")</script>\u001b[2J\u202e';

/** An evaluation at `step`: reward up, gold and good completions down. */
function evaluationAt(step: number): MetricRow {
  return {
    ...{ global_step: step, eval_reward: 0.2 + step / 100, eval_gold: 0.5 - step / 100 },
    ...{ "eval_rewards/a/mean": 0.1, "eval_rewards/b/mean": 0.2, eval_kl_init: step / 10 },
    ...{
      "eval_logps/chosen_delta_init": -step / 50,
      "eval_displacement/frac_chosen_down": 0.75,
      eval_entropy: 0.1,
    },
  };
}

function rolloutAt(step: number): RolloutRow[] {
  return [1, 0, 0.5].map((reward) => ({
    ...{
      step,
      rollout: step - 1,
      group: 0,
      row: "/data/p.jsonl:7",
      completion: `${hostile} ${reward} at ${step}`,
    },
    ...{ ids: [1], ended: reward > 0, reward, rewards: { a: reward }, advantage: reward - 0.5 },
  }));
}

function reportOf(
  rows: readonly MetricRow[],
  values: Record<string, unknown> = {},
  more: Partial<EvaluationRecord> = {},
): string {
  const dir = join(root, String(Math.random()));
  const online = { objective: "grpo", reward_funcs: ["exact"], num_generations: 4 };
  const config = { model_name_or_path: "m", train_data: "a.jsonl", output_dir: dir, ...online, ...values };
  const run = createRun(loadConfig({ values: config }));
  const metrics = new MetricsWriter(run.paths.metrics);
  for (const row of rows) metrics.write(row);
  metrics.close();
  for (const { global_step } of rows) {
    const answers = [{ text: `${hostile} ${global_step}`, ended: true, reward: 0.25 }];
    const samples = [{ prompt: `Say ${hostile}`, answers }];
    const evaluation = { global_step, rejected_logps: null, pair_changes: [], samples, ...more };
    appendEvaluation(run.paths.evaluations, evaluation);
  }
  const rollouts = new RolloutsFile(run.paths.rollouts);
  for (const step of [1, 2, 3]) rollouts.append(rolloutAt(step));
  run.release();
  return readFileSync(writeReport(dir), "utf8");
}

const steps = [0, 10, 20, 30, 40, 50].map(evaluationAt);

test("reward against KL, proxy against gold, and good completions against reward are drawn", () => {
  const page = reportOf(steps);
  for (const title of ["Reward against KL", "Proxy against gold", "Good completions against reward"]) {
    assert.match(page, new RegExp(`aria-label="${title}: 6 points"`));
  }
  assert.match(page, /<title>step 30: 3; 0\.5<\/title>/);
  assert.match(page, /Rewards by function/);
  assert.ok(!page.includes("Does the chosen answer gain?"), "that is about rows");
});

test("what was paid for the reward is stated, and only where it was", () => {
  assert.match(
    reportOf(steps),
    /reward rose from 0\.2 to 0\.7 while good completions became less likely \(−1 nats per token, 75 % of them\), and gold fell from 0\.5 to 0\./,
  );
  const rising = steps.map((row, i) => ({ ...row, "eval_logps/chosen_delta_init": i, eval_gold: i }));
  assert.ok(!/became less likely|gold fell/.test(reportOf(rising)));
});

test("gold of other functions than before is neither a fall, nor the best evaluation, nor a point of the path", () => {
  // to step 20 by functions of another scale
  const rows = steps.map((row, i) => ({ ...row, eval_gold: i < 3 ? 80 : 0.4 - i / 100 }));
  const gold = { eval_data: "b.jsonl", eval_reward_funcs: ["exact"], metric_for_best_model: "eval_gold" };
  const page = reportOf(rows, gold, { gold_start: 30 });
  assert.match(
    page,
    /reward rose from 0\.2 to 0\.7 while .*, and gold fell from 0\.37 to 0\.35 since step 30\./,
  );
  assert.match(page, /aria-label="Proxy against gold: 3 points"/);
  assert.match(page, /An earlier evaluation is the best one: step 30, eval_gold 0\.37/);
  assert.match(reportOf(rows, gold), /gold fell from 80 to 0\.35\..*step 10, eval_gold 80/s);
});

test("completions at several evaluations and of several rollouts are shown with rewards, harmless", () => {
  const page = reportOf(steps);
  assert.ok(!/<script/.test(page) && !page.includes("\u001b") && !page.includes("\u202e"));
  assert.equal(page.match(/<th scope="col">step \d+<\/th>/g)?.length, 4);
  assert.match(page, /<span class="tag">reward 0\.25<\/span>/);
  for (const step of [1, 2, 3]) {
    assert.ok(page.includes(` 1 at ${step}</div>`) && page.includes(` 0 at ${step}</div>`), "best and worst");
    assert.ok(!page.includes(` 0.5 at ${step}</div>`));
  }
  assert.match(page, /<td>p\.jsonl:7<br>/);
});

test("a run that has only begun has a report", () => {
  assert.match(reportOf([]), /No metrics yet/);
});
