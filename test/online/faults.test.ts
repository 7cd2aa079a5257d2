/** Rewards that hang, throw, lie and give NaN: the run ends, each fault is counted, and the others are learned from as if nothing was. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { readMetrics } from "../../src/runs/metrics.ts";
import { readRollouts } from "../../src/runs/rollouts.ts";
import type { TrainEvent } from "../../src/runs/train-events.ts";
import { onlineFixture } from "../support/online-run.ts";
import { assertSameRun, checkpointOf, filesOf, runTraining } from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());
const steps = 4;

/** One completion in four is at fault: the first of each prompt's, in one of these ways, or null from the start. */
function module(fault: string): string {
  return `
const even = (ids) => ids.filter((id) => id % 2 === 0).length / Math.max(1, ids.length);
const isFaulty = (ids) => ids[0] % 4 === 1;
export function reward({ completion_ids }) {
  return completion_ids.map((ids) => {
    if (!isFaulty(ids)) return even(ids);
    ${fault}
  });
}
`;
}

async function run(name: string, fault: string, max_steps: number = steps): Promise<string> {
  const file = fixture.path(`${name}.mjs`);
  writeFileSync(file, module(fault));
  const dir = fixture.path(name);
  await runTraining({
    ...fixture.online,
    ...{
      max_steps,
      lr_scheduler_type: "constant",
      output_dir: dir,
      reward_max_failures: 1,
      reward_workers: 2,
      reward_timeout: 5,
    },
    reward_funcs: [{ function: `${file}#reward`, name: "fault" }],
  });
  return dir;
}

/** Held-out prompts, and evaluations of them. */
const held = { eval_fraction: 0.34, eval_steps: 2 };

/** A function that returns too few numbers once it was called more often than the file `limit` says. */
function limited(calls: string, limit: string): string {
  return `
import { appendFileSync, readFileSync } from "node:fs";
const read = (path) => readFileSync(path, "utf8");
export function reward({ completion_ids }) {
  appendFileSync(${JSON.stringify(calls)}, "x");
  const isOver = read(${JSON.stringify(calls)}).length > Number(read(${JSON.stringify(limit)}));
  return completion_ids.map((ids) => ids.filter((id) => id % 2 === 0).length).slice(isOver ? 1 : 0);
}
`;
}

const clean = await run("null", "return null;");
const weights = (dir: string, step: number) => filesOf(checkpointOf(dir, step))["model.safetensors"];

for (const [name, fault, metric, most] of [
  ["nan", "return NaN;", "not_finite", steps],
  ["throws", "throw new Error('no');", "failures", steps],
  ["exits", "process.exit(3);", "failures", 2],
  // each that hangs takes as long as the time-out
  ["hangs", "for (;;);", "failures", 1],
] as const) {
  test(`${name}: the update is that of a run in which those completions were unscorable from the start`, async () => {
    const dir = await run(name, fault, most);
    assert.equal(weights(dir, most), weights(clean, most));
    const rows = readMetrics(join(dir, "metrics.jsonl"));
    const sumOf = (count: string) =>
      rows.reduce((sum, row) => sum + (row[`rewards/fault/${count}`] as number), 0);
    const without = readRollouts(join(clean, "rollouts.jsonl.gz")).filter(
      ({ reward, step }) => reward === null && step <= most,
    );
    assert.ok(without.length > 0, "the fixture has faulty completions");
    assert.deepEqual([metric, "failures", "unscored"].map(sumOf), [without.length, without.length, 0]);
  });
}

test("a reward function that lies about its count ends the run, which names it, the row and an answer", async () => {
  await assert.rejects(
    run("lies", "return 0; }).slice(1).map((value) => { return value;"),
    /^RewardError: \S*lies\.mjs#reward: expected a list of 4 numbers, .*, got a list of 3 for completions (?:1 to 4|5 to 8) of 8 \(\S*prompts\.jsonl:\d\), the first of which .* Correct the function\.$/,
  );
});

for (const [name, when, values] of [
  ["rollout", "evaluation", held],
  ["evaluation", "step", held],
  ["ahead", null, { max_staleness: 1 }],
] as const) {
  test(`${name}: a function that fails after step 2 costs no step; corrected, the run is the one that never failed`, async () => {
    const [calls, limit] = [fixture.path(`${name}.calls`), fixture.path(`${name}.limit`)];
    const file = fixture.path(`${name}.mjs`);
    writeFileSync(file, limited(calls, limit));
    const run = {
      ...{ ...fixture.online, lr_scheduler_type: "constant", save_steps: 500, reward_workers: 1 },
      ...{ reward_funcs: [`${file}#reward`], output_dir: fixture.path(`stopped-${name}`), ...values },
    };
    writeFileSync(limit, "1000");
    const whole = fixture.path(`whole-${name}`);
    await runTraining({ ...run, output_dir: whole });
    writeFileSync(calls, "");
    // two calls a rollout: ahead, the third rollout fails whenever it is sampled
    if (when === null) writeFileSync(limit, "4");
    const onEvent = (event: TrainEvent): void => {
      const step = event.type === "evaluation" ? event.row.global_step : "step" in event ? event.step : 0;
      if (event.type === when && step === 2) writeFileSync(limit, "0");
    };
    await assert.rejects(runTraining(run, { onEvent }), /#reward: expected a list of \d numbers/);
    assert.ok(weights(run.output_dir, 2), "a checkpoint of step 2");
    writeFileSync(limit, "1000");
    await runTraining({ ...run, resume_from_checkpoint: "latest" });
    assertSameRun(run.output_dir, whole, steps);
  });
}
