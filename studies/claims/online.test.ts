import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { checkTrials, type Measured, trialsOf } from "preftune/sweep";
import { readJsonLines } from "../../src/runs/json-lines.ts";
import { runFixture } from "../../test/support/runs.ts";
import { tinyStudy } from "../../test/support/study.ts";
import { pairRows, writeRows } from "../../test/support/tiny-model.ts";
import { study } from "../study.ts";
import { online } from "./online.ts";
import { METHODS } from "./online-methods.ts";

const prompts = { train_data: "prompts.train.jsonl", eval_data: "prompts.eval.jsonl" };
const asked = { sets: [], prompts, searched: null };

test("each task has its reward, the right answer as gold, and GRPO, which the others of the task are compared with", () => {
  const quick = online.conditions({ ...asked, budget: "quick" });
  const tasks = Map.groupBy(quick, ({ name }) => name.split(": ")[0]);
  assert.deepEqual([...tasks.keys()], ["exact", "proxy", "coin"]);
  for (const [task, conditions] of tasks) {
    assert.ok(conditions.some(({ name }) => name === `${task}: grpo`));
    for (const { name, changes } of conditions) {
      assert.equal(online.referenceOf(name), name === `${task}: grpo` ? null : `${task}: grpo`);
      assert.match(
        `${(changes["reward_funcs"] as string[])[0]}`,
        new RegExp(`studies/rewards\\.ts#${task}$`),
      );
      assert.match(`${(changes["eval_reward_funcs"] as string[])[0]}`, /#exact$/);
    }
  }
  const full = online.conditions({ ...asked, budget: "full" });
  assert.equal(new Set(full.map(({ name }) => name)).size, full.length);
  for (const { name, tasks } of METHODS)
    for (const task of tasks.full) assert.ok(full.some((one) => one.name === `${task}: ${name}`));
});

test("in the full budget all have all seeds, in the quick one those that the question is about", () => {
  const seedsOf = (budget: "quick" | "full", count: number, name: string): number[] =>
    trialsOf(
      online.conditions({ ...asked, budget }),
      { first: 2, count },
      { file: null, shared: () => ({}), overrides: [] },
    )
      .filter(({ condition }) => condition === name)
      .map(({ seed }) => seed);
  const names = ["exact: slime", "exact: raft", "proxy: slime, KL in the loss", "coin: slime"];
  assert.deepEqual(
    names.map((name) => seedsOf("quick", 2, name)),
    [[2, 3], [2], [2, 3], [2]],
  );
  for (const name of names) assert.deepEqual(seedsOf("full", 3, name), [2, 3, 4]);
});

test("the report says which methods a budget leaves out", () => {
  const measured = (budget: "quick" | "full") => {
    const conditions = online.conditions({ ...asked, budget });
    return new Map(conditions.map(({ name }) => [name, { name, runs: [], failed: [] }]));
  };
  const [left] = online.sections(measured("quick"), null);
  assert.match(left?.note ?? "", /exact: simpo; .*proxy: simpo; rloo;/);
  assert.deepEqual(online.sections(measured("full"), null), []);
});

test("the full budget takes each method's rate from its search; a user's own rows have rewards of text alone", () => {
  const search = online.search?.conditions({ ...asked, budget: "full" }) ?? [];
  assert.equal(search.length, 3 * METHODS.length);
  const best = ["search rloo at 0.001", "search slime, replay at 0.0002"];
  const exported = (value: number) => ({
    global_step: 40,
    rejected_logps: null,
    pair_changes: [],
    samples: [],
    prompts: { reward: [value] },
  });
  const searched = new Map(
    search.map(({ name }) => [
      name,
      { name, failed: [], runs: [{ exported: exported(Number(best.includes(name))) }] },
    ]),
  ) as unknown as Measured;
  const full = online.conditions({ ...asked, budget: "full", searched });
  const rateOf = (name: string) => full.find((one) => one.name === name)?.changes["learning_rate"];
  assert.deepEqual(["proxy: rloo", "coin: slime, replay"].map(rateOf), [1e-3, 2e-4]);
  const rates = online.sections(new Map(), searched).find(({ title }) => title === "Learning rates");
  const row = rates?.tables?.[0]?.rows.find(([name]) => name === "rloo");
  assert.equal(row?.at(-1), "0.001");
  assert.equal(rates?.rows?.length, search.length);
  const own = online.conditions({ ...asked, budget: "quick", prompts: null });
  assert.equal(own.length, 6);
  assert.ok(own.every(({ changes }) => !("eval_reward_funcs" in changes) && !("train_data" in changes)));
  const scored = online.conditions({ ...asked, budget: "quick", prompts: null, rewardModel: "rm" });
  assert.deepEqual(
    scored
      .slice(own.length)
      .map(({ name, changes }) => [name, changes["reward_model"], changes["reward_funcs"]]),
    ["grpo", "slime", "dpo"].map((name) => [`reward model: ${name}`, "rm", undefined]),
  );
  // sizes and learning rate are below what a user gives for all runs, not above it
  const values = online.values?.({ ...asked, budget: "quick", prompts: null }) ?? {};
  assert.deepEqual([values["learning_rate"], values["max_steps"]], [1e-3, 6]);
  for (const key of Object.keys(values))
    assert.ok(
      scored.every(({ changes }) => !(key in changes)),
      key,
    );
  assert.deepEqual(online.values?.({ ...asked, budget: "quick" }), {});
  // what one of them is given is used in all
  const shared = () => ({
    ...values,
    model_name_or_path: "m",
    train_data: "a.jsonl",
    eval_data: "b.jsonl",
    eval_fraction: 0,
  });
  const from = { file: join(import.meta.dirname, "../../recipes/smollm2-135m.yaml"), shared, overrides: [] };
  checkTrials(trialsOf(scored, { first: 1, count: 1 }, from));
});

test("rows of prompts alone are studied: figures of pairs are missing, with the reason", async () => {
  using place = runFixture({ rows: 6, held: 4 });
  const { data, evalData, ...options } = tinyStudy(place, "online");
  const prompts = (from: number, to: number) =>
    pairRows(to)
      .slice(from)
      .map(({ prompt }) => ({ prompt }));
  const { summary, results } = await study({
    ...options,
    data: writeRows(place.path("prompts.jsonl"), prompts(0, 6)),
    evalData: writeRows(place.path("held-prompts.jsonl"), prompts(6, 10)),
  });
  assert.doesNotMatch(summary, /Failed/);
  assert.match(summary, /no held-out prompt has a chosen and a rejected answer/);
  const rows = readJsonLines(results).map(({ value }) => value as { metric: string; value: number });
  const known = (metric: string) => rows.filter((row) => row.metric === metric && Number.isFinite(row.value));
  assert.ok(known("reward").length > 0 && known("chosen_change").length === 0);
});
