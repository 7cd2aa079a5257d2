/** What the keys of sampling do in a run, where the law that they leave is known. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { TrainingError } from "../../src/base/errors.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { readRollouts } from "../../src/runs/rollouts.ts";
import { onlineFixture } from "../support/online-run.ts";
import { runTraining, type Values } from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

let runs = 0;

async function run(values: Values) {
  const dir = fixture.path(`run-${++runs}`);
  await runTraining({ ...fixture.online, max_steps: 2, ...values, output_dir: dir });
  const rollouts = readRollouts(join(dir, "rollouts.jsonl.gz"));
  return { rollouts, rows: readMetrics(join(dir, "metrics.jsonl")) };
}

/** How many different completions each group has. */
function distinct(rollouts: Awaited<ReturnType<typeof run>>["rollouts"]): number[] {
  const groups = Map.groupBy(rollouts, ({ step, group }) => `${step} ${group}`);
  return [...groups.values()].map((group) => new Set(group.map(({ ids }) => ids.join())).size);
}

test("without a filter the completions of a prompt differ", async () => {
  assert.ok(distinct((await run({})).rollouts).every((count) => count === 4));
});

for (const values of [{ min_p: 0.999_999 }, { top_p: 1e-6 }]) {
  test(`${JSON.stringify(values)}: one token is left in each place, in sampling and in training`, async () => {
    const { rollouts, rows } = await run({ ...values, temperature: 1.5, missing_eos_penalty: 1 });
    assert.deepEqual(distinct(rollouts), [1, 1, 1, 1]);
    for (const row of rows) {
      // of a law with one outcome the log-prob is 0, and has no gradient
      assert.equal(row["sampling/sampling_logp_difference/max"], 0);
      assert.deepEqual([row["frac_reward_zero_std"], row["grad_norm"]], [1, 0]);
    }
  });
}

test("a low temperature sharpens the law", async () => {
  const { rollouts, rows } = await run({ temperature: 0.01 });
  assert.ok(
    distinct(rollouts).every((count) => count < 4),
    `${distinct(rollouts)}`,
  );
  assert.ok((rows[0]?.["sampling/sampling_logp_difference/max"] as number) < 1e-3);
});

test("log-probs that differ by more than the bound stop the run, with the tokens' rows, places, ids and both numbers", async () => {
  await assert.rejects(run({ max_sampling_logp_difference: 1e-12 }), (error) => {
    assert.ok(error instanceof TrainingError, `${error}`);
    const token =
      /prompts\.jsonl:\d+, completion \d, token \d+ \(id \d+\): -[\d.e-]+ in sampling, -[\d.e-]+ in training/g;
    assert.equal(error.message.match(token)?.length, 3, error.message);
    assert.match(error.message, /max_sampling_logp_difference 1e-12\b/);
    return true;
  });
});
