/** The table of metrics tells the truth: each objective's runs log exactly the keys that it promises, in its rows. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import type { MetricInfo } from "../../src/config/metric-info.ts";
import { METRICS, metricInfo, ROW_KEYS } from "../../src/config/metric-names.ts";
import { type MethodName, methods, methodsWhere, offlineMethods } from "../../src/methods/index.ts";
import { isEvalRow, type MetricRow, readMetrics } from "../../src/runs/metrics.ts";
import { onlineFixture } from "../support/online-run.ts";
import { runFixture, runTraining, type Values } from "../support/runs.ts";

const fixture = runFixture({ rows: 8, held: 4 });
const online = onlineFixture();
after(() => {
  fixture[Symbol.dispose]();
  online[Symbol.dispose]();
});

const common: Values = {
  ...fixture.values,
  learning_rate: 1e-3,
  per_device_train_batch_size: 4,
  max_steps: 4,
  logging_steps: 2,
  eval_steps: 2,
  save_strategy: "no",
};

const watched: Values = { watch_prompts: "eval", watch_rows: 2, watch_max_new_tokens: 6 };

const everyForm = methods.dpo.keys.loss_type.schema.anyOf?.[0]?.enum;

/** What `info.needs` names, switched on. */
const switchedOn: Partial<Record<MethodName, Values>> = {
  slime: { log_entropy: true, lambda_start: 1, chosen_floor: 0, ...watched },
  dpo: { log_entropy: true, loss_type: everyForm, use_weighting: true, ...watched },
  dpop: { log_entropy: true, ...watched },
  cpo: { log_entropy: true, ...watched },
  orpo: { log_entropy: true, preset: "trl", ...watched },
  simpo: { log_entropy: true, cpo_alpha: 0.5, ...watched },
  sft: { log_entropy: true, ...watched },
  reward: {},
  kto: { log_entropy: true, unpair: true, ...watched },
};

let runs = 0;

async function rowsOf(values: Values): Promise<{ training: MetricRow[]; evaluation: MetricRow[] }> {
  runs += 1;
  const outputDir = fixture.path(`run-${runs}`);
  await runTraining({ ...values, output_dir: outputDir });
  const rows = readMetrics(join(outputDir, "metrics.jsonl"));
  return { training: rows.filter((row) => !isEvalRow(row)), evaluation: rows.filter(isEvalRow) };
}

type RowKind = "training" | "evaluation";

/**
 * The keys that the rows of a run promise: those of the table that belong to the objective.
 *
 * @param has - whether a run of this kind has the metric
 * @param functions - names of reward functions, for metrics that are there once for each
 */
function promised(
  objective: MethodName,
  rows: RowKind,
  has: (info: MetricInfo) => boolean,
  functions: readonly string[] = [],
): string[] {
  const isLogged = (info: MetricInfo) =>
    (info.rows ?? rows) === rows && (info.objectives ?? [objective]).includes(objective) && has(info);
  const name = (key: string) => (rows === "training" || ROW_KEYS.includes(key) ? key : `eval_${key}`);
  const ofEach = (key: string) =>
    key.includes("NAME") ? functions.map((called) => key.replace("NAME", called)) : [key];
  return METRICS.filter(isLogged)
    .flatMap(({ key }) => ofEach(key).map(name))
    .sort();
}

// those of several ranks: test/campaign/ranks-matrix.test.ts
const onRows = ({ onPolicy, needs }: MetricInfo): boolean => onPolicy !== true && needs !== "several ranks";

const keysOf = (row: MetricRow | undefined) => Object.keys(row ?? {}).sort();

for (const objective of offlineMethods) {
  test(`${objective} logs what the table says, in every row`, async () => {
    const { training, evaluation } = await rowsOf({ ...common, objective, ...switchedOn[objective] });
    assert.deepEqual([training.length, evaluation.length], [2, 3]);
    for (const row of training) assert.deepEqual(keysOf(row), promised(objective, "training", onRows));
    for (const row of evaluation) assert.deepEqual(keysOf(row), promised(objective, "evaluation", onRows));
  });
}

/** What on-policy metrics need, switched on. */
const onPolicyOn: Partial<Record<MethodName, Values>> = {
  grpo: { beta: 0.1, entropy_coef: 0.01 },
  rloo: { beta: 0.1 },
  // a rollout begins in every row: sampler and trainer are compared at its first step alone
  ppo: { num_ppo_epochs: 2 },
  slime: { replay: 0.5, kl_coef: 0.1 },
  dpo: { replay: 0.5, kl_coef: 0.1, loss_type: everyForm, use_weighting: true },
  dpop: { replay: 0.5, kl_coef: 0.1 },
  cpo: { replay: 0.5, kl_coef: 0.1 },
  orpo: { replay: 0.5, kl_coef: 0.1 },
  simpo: { replay: 0.5, kl_coef: 0.1, cpo_alpha: 0.5 },
};

for (const objective of methodsWhere(({ onPolicy }) => onPolicy !== "never")) {
  test(`${objective} on-policy logs what the table says, in every row`, async () => {
    const values = {
      ...{ ...online.online, ...watched, objective, log_entropy: true, ...onPolicyOn[objective] },
      ...{ eval_fraction: 0.34, eval_steps: 2, dynamic_sampling: 1 },
      eval_reward_funcs: [`${online.rewards}#shorter`],
    };
    const { training, evaluation } = await rowsOf({ ...values, max_steps: 4, logging_steps: 2 });
    assert.deepEqual([training.length, evaluation.length], [2, 3]);
    // grpo has either metrics of clipping or those of cispo; corrections of rollouts ahead: test/online/staleness.test.ts; a judge: all-faults.test.ts
    const elsewhere = ["loss_type cispo", "max_staleness above 0", "several ranks", "judge"];
    const trained = ({ onPolicy, needs = "" }: MetricInfo) =>
      onPolicy !== false && !elsewhere.includes(needs);
    const evaluated = ({ onPolicy, ofObjective, needs = "" }: MetricInfo) =>
      onPolicy !== false && ofObjective !== true && !elsewhere.includes(needs);
    const inTraining = promised(objective, "training", trained, ["even"]);
    const inEvaluation = promised(objective, "evaluation", evaluated, ["even", "shorter"]);
    for (const row of training) assert.deepEqual(keysOf(row), inTraining);
    for (const row of evaluation) assert.deepEqual(keysOf(row), inEvaluation);
  });
}

test("metrics of a reward function are found whatever its name is", () => {
  assert.equal(metricInfo("eval_rewards/a/b/mean")?.key, "rewards/NAME/mean");
  assert.equal(metricInfo("rewards/a/not_finite")?.key, "rewards/NAME/not_finite");
  assert.equal(metricInfo("rewards/chosen")?.key, "rewards/chosen");
  assert.equal(metricInfo("rewards/even/median"), null);
});

test("what needs a setting is absent without it", async () => {
  const { training, evaluation } = await rowsOf({ ...common, objective: "simpo" });
  const always = (info: MetricInfo): boolean => onRows(info) && info.needs === undefined;
  assert.deepEqual(keysOf(training[0]), promised("simpo", "training", always));
  assert.deepEqual(
    keysOf(evaluation[0]),
    [...promised("simpo", "evaluation", always), "eval_entropy"].sort(),
  );
});

test("slime's three terms add up to its loss, and the margin is the difference of the means", async () => {
  const { training } = await rowsOf({ ...common, objective: "slime", preset: "paper" });
  for (const row of training) {
    const value = (key: string) => row[key] as number;
    const terms = ["slime/anchor_loss", "slime/margin_loss", "slime/rejected_penalty"].map(value);
    const sum = terms.reduce((a, b) => a + b, 0);
    assert.ok(Math.abs(sum - value("loss")) < 1e-9 * Math.abs(sum), `${sum}, ${row["loss"]}`);
    const margin = value("logps/chosen_mean") - value("logps/rejected_mean");
    assert.ok(Math.abs(margin - value("slime/margin_mean")) < 1e-9);
  }
});
