import assert from "node:assert/strict";
import { test } from "node:test";
import type { Measured } from "preftune/sweep";
import { online } from "./online.ts";

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
  assert.equal(new Set(full.map(({ name }) => name)).size, 3 * 19);
});

test("the full budget takes each method's rate from the search; a user's own rows have rewards of text alone", () => {
  const search = online.search?.conditions({ ...asked, budget: "full" }) ?? [];
  assert.equal(search.length, 19 * 3);
  const reward = (name: string): number => (name === "search rloo at 0.001" ? 1 : 0);
  const evaluations = (value: number) => [
    { global_step: 40, rejected_logps: null, pair_changes: [], samples: [], prompts: { reward: [value] } },
  ];
  const searched = new Map(
    search.map(({ name }) => [
      name,
      { name, failed: [], runs: [{ evaluations: evaluations(reward(name)) }] },
    ]),
  ) as unknown as Measured;
  const full = online.conditions({ ...asked, budget: "full", searched });
  const rateOf = (name: string) => full.find((one) => one.name === name)?.changes["learning_rate"];
  assert.equal(rateOf("proxy: rloo"), 1e-3);
  const own = online.conditions({ ...asked, budget: "quick", prompts: null });
  assert.equal(own.length, 6);
  assert.ok(own.every(({ changes }) => !("eval_reward_funcs" in changes) && !("train_data" in changes)));
});
