/** Slime's anchor to the start and its floor in whole runs: precomputed or live, cut anyhow, resumed; what is refused; what is reported. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { ConfigError } from "../../src/base/errors.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { formatPlan } from "../../src/planner/plan-text.ts";
import { plan } from "../../src/recipes/plan.ts";
import { isEvalRow, readMetrics } from "../../src/runs/metrics.ts";
import { assertClose } from "../support/close.ts";
import {
  assertSameRun,
  checkpointOf,
  cutBack,
  runFixture,
  runTraining,
  type Values,
} from "../support/runs.ts";
import { trainOnRanks } from "../support/train-on-ranks.ts";

const fixture = runFixture({ rows: 8, held: 4 });
after(() => fixture[Symbol.dispose]());

const steps = 5;
const common: Values = {
  ...fixture.values,
  ...{ objective: "slime", lambda_start: 2, chosen_floor: 0.5, floor_average: 1, floor_integral: 1 },
  ...{
    use_peft: true,
    learning_rate: 3e-3,
    max_steps: steps,
    logging_steps: 1,
    save_steps: 1,
    eval_steps: steps,
  },
};
const whole = { per_device_train_batch_size: 4, gradient_accumulation_steps: 1 };

async function trained(name: string, values: Values): Promise<string> {
  const dir = fixture.path(name);
  if (!existsSync(dir)) await runTraining({ ...common, ...whole, ...values, output_dir: dir });
  return dir;
}

function columnOf(dir: string, key: string): number[] {
  const rows = readMetrics(join(dir, "metrics.jsonl")).filter((row) => !isEvalRow(row));
  return rows.map((row) => row[key] as number);
}

test("precomputed or live, in one micro-batch or in four: the same losses and weights", async () => {
  const first = await trained("whole", {});
  const live = await trained("live", { precompute_ref_log_probs: false });
  const cut = await trained("cut", { per_device_train_batch_size: 1, gradient_accumulation_steps: 4 });
  for (const key of ["loss", "slime/lambda_w", "slime/start_anchor_loss"]) {
    const want = columnOf(first, key);
    assert.equal(want.length, steps);
    for (const other of [live, cut]) assertClose(columnOf(other, key), want, { rtol: 1e-4, atol: 1e-6 });
  }
  const weights = columnOf(first, "slime/lambda_w");
  // 0.4 + 5 · 0.5, then what the step's pairs say, which have not changed before the first step
  assertClose(weights.slice(0, 2), [2.9, 3.4], { atol: 1e-4 });
  assertClose(columnOf(first, "slime/chosen_change")[0] as number, 0, { atol: 1e-5 });
  assert.equal(columnOf(first, "slime/start_anchor_loss")[0], 0);
  assert.ok(new Set(weights).size > 2);
});

test("two ranks take the same weights and come to the same losses", async () => {
  const dir = fixture.path("ranks");
  const { threads: _, ...values } = common;
  const divided = { per_device_train_batch_size: 2, train_batch_size: 4, max_steps: 2, eval_steps: 2 };
  await trainOnRanks(2, { ...values, ...divided, output_dir: dir });
  const first = await trained("whole", {});
  for (const key of ["loss", "slime/lambda_w"]) {
    // the learning rate falls to 0 over other steps, so that the first step alone is the same
    assertClose(columnOf(dir, key)[0] as number, columnOf(first, key)[0] as number, { rtol: 1e-5 });
    assert.equal(columnOf(dir, key).length, 2);
  }
  assertClose(columnOf(dir, "slime/lambda_w")[1] as number, 3.4, { atol: 1e-3 });
});

test("resumed = uninterrupted, byte for byte; the state of the floor is in the checkpoint", async () => {
  const dir = await trained("whole", {});
  const state = JSON.parse(readFileSync(join(checkpointOf(dir, 2), "chosen_floor.json"), "utf8"));
  assert.deepEqual(Object.keys(state).sort(), ["change", "integral"]);
  const cut = cutBack(dir, fixture.path("resumed"), 2);
  await runTraining({ ...common, ...whole, output_dir: cut, resume_from_checkpoint: "latest" });
  assertSameRun(cut, dir, steps);
});

test("the report says whether the floor held", async () => {
  const dir = await trained("whole", {});
  const report = readFileSync(join(dir, "report.html"), "utf8");
  assert.match(
    report,
    /The floor of \+0\.5 nats per token (held|was missed|held or not, which the pairs do not show):/,
  );
  assert.match(report, /chosen answers had changed by .* 95 % interval \[.*\] over 4 pairs of 4 prompts/);
});

test("start log-probs that a cache file lacks are computed again; those of another model are not taken", async () => {
  const cache = fixture.path("cache");
  const names = async (values: Values): Promise<string[]> => {
    await trained(`cached-${Object.keys(values).length}-${existsSync(cache)}`, {
      ...{ reference_cache_dir: cache, max_steps: 1, eval_steps: 1, ...values },
    });
    return readdirSync(cache).sort();
  };
  const first = await names({});
  assert.equal(first.length, 2);
  assert.deepEqual(await names({}), first);
  assert.equal((await names({ dtype: "bfloat16" })).length, 4);
});

test("bad input is refused by name, with what to do", () => {
  const refusal = (values: Values): string => {
    try {
      loadConfig({ values: { ...common, output_dir: "x", ...values } });
    } catch (error) {
      assert.ok(error instanceof ConfigError);
      return error.message;
    }
    return "";
  };
  const rewards = { reward_funcs: ["x.ts"], train_data: "p.jsonl" };
  assert.match(refusal(rewards), /lambda_start.*sampled have no log-probabilities.*kl_coef/s);
  assert.match(refusal({ lambda_w: 6 }), /lambda_w_max.*5 is below lambda_w 6/s);
  assert.match(refusal({ floor_gain: 0, floor_integral: 0 }), /floor_gain.*would change nothing/s);
  assert.match(refusal({ lambda_start: 0, start_margin: 0.1 }), /start_margin.*lambda_start is 0/s);
  assert.match(refusal({ chosen_floor: null }), /floor_average.*chosen_floor is null/s);
  assert.match(refusal({ use_peft: false, precompute_ref_log_probs: false }), /needs use_peft/);
  const off = { lambda_start: 0, chosen_floor: null, floor_average: undefined, floor_integral: undefined };
  assert.match(refusal({ ...off, reference_cache_dir: "x" }), /nothing is compared with the start/);
  assert.match(refusal({ lambda_start: -1 }), /lambda_start/);
});

test("the plan counts the passes and the log-probs of the start", async () => {
  const config = (values: Values) =>
    loadConfig({ values: { ...common, ...whole, output_dir: fixture.path("planned"), ...values } }).config;
  const planned = await plan(config({}));
  assert.deepEqual(
    planned.methods
      .filter(({ method }) => method.startsWith("slime"))
      .map(({ method, isOwn }) => [method, isOwn]),
    [
      ["slime-live", false],
      ["slime-precomputed", true],
    ],
  );
  assert.ok((planned.rows.comparedLogpBytes ?? 0) > (planned.rows.startLogpBytes ?? 0));
  // what is counted is the text in files; memory holds it, and numbers of 4 bytes
  const text = formatPlan(planned).replace(/\s+/g, " ");
  assert.match(
    text,
    /at the start take [^;]* of a file, in the run directory and in each checkpoint; in memory as/,
  );
  const live = await plan(config({ precompute_ref_log_probs: false }));
  assert.equal(live.methods.find(({ isOwn }) => isOwn)?.method, "slime-live");
});
