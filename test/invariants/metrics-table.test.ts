/** The table of metrics tells the truth: each objective's runs log exactly the keys that it promises, in its rows. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { METRICS, type MetricInfo, metricInfo, ROW_KEYS } from "../../src/config/metric-names.ts";
import { type MethodName, offlineMethods } from "../../src/methods/index.ts";
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

/** What `info.needs` names, switched on. */
const switchedOn: Partial<Record<MethodName, Values>> = {
  slime: { log_entropy: true, ...watched },
  dpo: { log_entropy: true, ...watched },
  simpo: { log_entropy: true, cpo_alpha: 0.5, ...watched },
  sft: { log_entropy: true, ...watched },
  reward: {},
};

let runs = 0;

async function rowsOf(values: Values): Promise<{ training: MetricRow[]; evaluation: MetricRow[] }> {
  runs += 1;
  const outputDir = fixture.path(`run-${runs}`);
  await runTraining({ ...values, output_dir: outputDir });
  const rows = readMetrics(join(outputDir, "metrics.jsonl"));
  return { training: rows.filter((row) => !isEvalRow(row)), evaluation: rows.filter(isEvalRow) };
}

function promised(objective: MethodName, rows: "training" | "evaluation", every = true): string[] {
  const isLogged = (info: MetricInfo) =>
    (info.rows ?? rows) === rows &&
    info.onPolicy !== true &&
    (info.objectives ?? [objective]).includes(objective) &&
    (every || info.needs === undefined);
  const name = (key: string) => (rows === "training" || ROW_KEYS.includes(key) ? key : `eval_${key}`);
  return METRICS.filter(isLogged)
    .map(({ key }) => name(key))
    .sort();
}

/** The keys that an on-policy run promises, with reward functions of these names. */
function promisedOnPolicy(
  objective: MethodName,
  rows: "training" | "evaluation",
  { functions, without = () => false }: { functions: string[]; without?: (info: MetricInfo) => boolean },
): string[] {
  const isLogged = (info: MetricInfo) =>
    (info.rows ?? rows) === rows &&
    info.onPolicy !== false &&
    !(rows === "evaluation" && info.ofObjective === true) &&
    (info.objectives ?? [objective]).includes(objective) &&
    !without(info);
  const name = (key: string) => (rows === "training" || ROW_KEYS.includes(key) ? key : `eval_${key}`);
  return METRICS.filter(isLogged)
    .flatMap(({ key }) => functions.map((called) => name(key.replace("NAME", called))))
    .filter((key, i, all) => all.indexOf(key) === i)
    .sort();
}

const keysOf = (row: MetricRow | undefined) => Object.keys(row ?? {}).sort();

for (const objective of offlineMethods) {
  test(`${objective} logs what the table says, in every row`, async () => {
    const { training, evaluation } = await rowsOf({ ...common, objective, ...switchedOn[objective] });
    assert.deepEqual([training.length, evaluation.length], [2, 3]);
    for (const row of training) assert.deepEqual(keysOf(row), promised(objective, "training"));
    for (const row of evaluation) assert.deepEqual(keysOf(row), promised(objective, "evaluation"));
  });
}

/** What on-policy metrics need, switched on. */
const onPolicyOn: Partial<Record<MethodName, Values>> = {
  grpo: { beta: 0.1 },
  rloo: { beta: 0.1 },
  raft: {},
};

for (const objective of ["grpo", "rloo", "raft"] as const) {
  test(`${objective} on-policy logs what the table says, in every row`, async () => {
    const values = {
      ...{ ...online.online, ...watched, objective, log_entropy: true, ...onPolicyOn[objective] },
      ...{ eval_fraction: 0.34, eval_steps: 2, dynamic_sampling: 1 },
      eval_reward_funcs: [`${online.rewards}#shorter`],
    };
    const { training, evaluation } = await rowsOf({ ...values, max_steps: 4, logging_steps: 2 });
    assert.deepEqual([training.length, evaluation.length], [2, 3]);
    // grpo has either metrics of clipping or those of cispo
    const without = ({ needs }: MetricInfo): boolean => needs === "loss_type cispo";
    const inTraining = promisedOnPolicy(objective, "training", { functions: ["even"], without });
    const inEvaluation = promisedOnPolicy(objective, "evaluation", { functions: ["even", "shorter"] });
    for (const row of training) assert.deepEqual(keysOf(row), inTraining);
    for (const row of evaluation) assert.deepEqual(keysOf(row), inEvaluation);
  });
}

test("metrics of a reward function are found whatever its name is", () => {
  assert.equal(metricInfo("eval_rewards/a/b/mean")?.key, "rewards/NAME/mean");
  assert.equal(metricInfo("rewards/chosen")?.key, "rewards/chosen");
  assert.equal(metricInfo("rewards/even/median"), null);
});

test("what needs a setting is absent without it", async () => {
  const { training, evaluation } = await rowsOf({ ...common, objective: "simpo" });
  assert.deepEqual(keysOf(training[0]), promised("simpo", "training", false));
  assert.deepEqual(keysOf(evaluation[0]), [...promised("simpo", "evaluation", false), "eval_entropy"].sort());
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
