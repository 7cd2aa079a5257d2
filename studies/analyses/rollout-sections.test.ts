import assert from "node:assert/strict";
import { test } from "node:test";
import type { Measured, MeasuredRun } from "preftune/sweep";
import { rolloutSections } from "./rollout-sections.ts";

/** A run with an evaluation every ten steps; each has a reward and a KL for every prompt. */
function runOf(seed: number, rewards: readonly number[], kls: readonly number[], stepTime = 1): MeasuredRun {
  const known = { rejected_logps: null, pair_changes: [], samples: [] };
  const both = (value: number): number[] => [value - 0.01, value + 0.01];
  return {
    trial: { seed },
    before: [],
    after: [],
    evaluations: rewards.map((reward, i) => ({
      ...known,
      global_step: 10 * i,
      prompts: { reward: both(reward), kl_init: both(kls[i] ?? 0), chosen_delta: both(0), length: [5, 5] },
    })),
    metrics: Array.from({ length: 20 }, (_, i) => ({ global_step: i + 1, step_time: stepTime })),
    extra: null,
  } as unknown as MeasuredRun;
}

function measuredOf(runs: Readonly<Record<string, MeasuredRun[]>>): Measured {
  return new Map(Object.entries(runs).map(([name, own]) => [name, { name, runs: own, failed: [] }]));
}

const study = {
  splitName: (name: string): [string, string] => name.split(": ") as [string, string],
  reference: "grpo",
  unearnable: ["coin"],
};

test("at equal reward each method is read off where it got there, less the reference over the seeds that both have", () => {
  const measured = measuredOf({
    "exact: grpo": [runOf(1, [0, 1], [0, 2]), runOf(2, [0, 1], [0, 4])],
    "exact: slime": [runOf(1, [0, 1], [0, 6])],
  });
  const equal = rolloutSections(measured, study).find(
    ({ title }) => title === "exact: at equal reward, KL, time",
  );
  const rows = equal?.rows?.filter(({ metric }) => metric === "kl_init_at_equal_reward_1.00") ?? [];
  const shown = rows.map(({ condition, minus, interval }) => [condition, minus ?? null, interval.value]);
  assert.deepEqual(shown, [
    ["exact: grpo", null, 3],
    ["exact: slime", null, 6],
    ["exact: slime", "exact: grpo", 4],
  ]);
  assert.equal(equal?.tables?.[0]?.rows[1]?.at(-1), "1 of 1");
});

test("runs that did not come to the level are left out and counted; nothing is read at equal rewards that chance gave", () => {
  const good = Array.from({ length: 7 }, (_, i) => runOf(i + 1, [0, 1], [0, 2]));
  const poor = [1, 2, 3].map((seed) => runOf(seed, [0, 0.1], [0, 2]));
  const measured = measuredOf({ "exact: grpo": good, "exact: raft": poor });
  const equal = rolloutSections(measured, study).find(({ title }) => title.startsWith("exact: at equal"));
  const [table] = equal?.tables ?? [];
  assert.equal(table?.columns[0], "at reward 1.00");
  assert.deepEqual([table?.rows[1]?.[1], table?.rows[1]?.at(-1)], ["–", "0 of 3"]);
  const coin = rolloutSections(measuredOf({ "coin: grpo": good }), study);
  assert.ok(coin.some(({ title }) => title === "coin: at equal KL, time"));
});

test("at equal time the cheapest method is read at its end, the others where they were by then", () => {
  const slow = Array.from({ length: 10 }, (_, i) => runOf(i + 1, [0, 1], [0, 2]));
  const measured = measuredOf({ "exact: grpo": slow, "exact: raft": [runOf(1, [0, 0.8], [0, 1], 0.5)] });
  const equal = rolloutSections(measured, study).find(({ title }) => title.startsWith("exact: at equal"));
  const time = equal?.tables?.at(-1);
  assert.equal(time?.columns[0], "at time 5.00 s");
  assert.match(String(time?.rows[1]?.[1]), /0\.80/);
  assert.match(String(time?.rows[0]?.[1]), /0\.50/);
  assert.deepEqual(
    time?.rows.map((row) => row.at(-1)),
    ["10 of 10", "1 of 1"],
  );
});

test("no chart has more lines than there are colours, each the reference", () => {
  const names = ["grpo", ...Array.from({ length: 7 }, (_, i) => `method ${i}`), "ppo"];
  const measured = measuredOf(
    Object.fromEntries(names.map((name) => [`exact: ${name}`, [runOf(1, [0, 1, 1], [0, 1, 1])]])),
  );
  const curves = rolloutSections(measured, study).filter(({ title }) => title.startsWith("exact: curves"));
  assert.equal(curves.length, 2);
  for (const { curves: charts = [] } of curves)
    for (const { series } of charts) {
      assert.equal(series[0]?.name, "grpo");
      assert.equal(new Set(series.map(({ colour }) => colour)).size, series.length);
      assert.ok(series.every(({ colour }) => colour <= 7));
    }
});
