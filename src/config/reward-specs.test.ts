/** Reward functions in a configuration: names that are unknown, twice the same, or taken. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "./load-config.ts";

test("reward functions that are unknown, or two of one name, are refused with the configuration", () => {
  const values = { model_name_or_path: "m", train_data: "d", output_dir: "o", objective: "grpo" };
  assert.throws(() => loadConfig({ values: { ...values, reward_funcs: ["exat"] } }), {
    name: "ConfigError",
    message: /reward_funcs: exat: expected FILE#EXPORT or one of exact, .*Did you mean "exact"\?/,
  });
  assert.throws(() => loadConfig({ values: { ...values, reward_funcs: ["a.ts#f", "b.ts#f"] } }), {
    name: "ConfigError",
    message: /two reward functions are named "f"/,
  });
});

test("a reward function of evaluations does not take the name of another one that is trained on; judge and reward_model are taken", () => {
  const values = { model_name_or_path: "m", train_data: "d", output_dir: "o", objective: "grpo" };
  const online = { ...values, eval_data: "e", reward_model: "rm", num_generations: 4 };
  const characters = { function: "length", unit: "characters" };
  const both = { reward_funcs: [{ function: "length", unit: "tokens" }] };
  assert.throws(() => loadConfig({ values: { ...online, ...both, eval_reward_funcs: [characters] } }), {
    name: "ConfigError",
    message:
      /eval_reward_funcs: length: another one of reward_funcs is named "length", .*\{function: length, name: length_gold\}/,
  });
  for (const evalRewardFuncs of [
    [{ ...characters, name: "length_gold" }],
    // the same function has the same numbers
    [{ unit: "tokens", function: "length", name: "length" }],
  ]) {
    loadConfig({ values: { ...online, ...both, eval_reward_funcs: evalRewardFuncs } });
  }
  for (const key of ["reward_funcs", "eval_reward_funcs"]) {
    for (const spec of ["rewards.ts#judge", { function: "exact", name: "reward_model" }]) {
      assert.throws(() => loadConfig({ values: { ...online, reward_funcs: ["exact"], [key]: [spec] } }), {
        name: "ConfigError",
        message: new RegExp(
          `${key}: .*: the name "(judge|reward_model)" is that of the key \\1 .*\\{function: .*, name: \\1_2\\}`,
        ),
      });
    }
  }
});
