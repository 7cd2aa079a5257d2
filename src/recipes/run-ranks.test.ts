/** What only one process can do is refused on several ranks, with what to do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "../config/load-config.ts";
import { refuseOnRanks } from "./run-ranks.ts";

const common = { model_name_or_path: "model", train_data: "rows.jsonl", output_dir: "run" };

for (const [what, values, expected] of [
  [
    "an on-policy run",
    { objective: "grpo", reward_funcs: ["length"] },
    /2 ranks were started, and an on-policy run .* Start it without a launcher/,
  ],
  [
    "updates in the backward pass",
    { optimizer_in_backward: true, max_grad_norm: 0, gradient_accumulation_steps: 1 },
    /optimizer_in_backward is for one: .* Leave it out/,
  ],
  [
    "a loss of micro-batches",
    { objective: "slime", preset: "reference-compat" },
    /2 ranks were started, and preset: reference-compat has a loss of micro-batches, .* start it without a launcher/,
  ],
  ["a reward model in parts", { objective: "reward", shard: "all" }, /got all\. Take none/],
] as const) {
  test(what, () => {
    const { config } = loadConfig({ values: { ...common, ...values } });
    assert.throws(() => refuseOnRanks(config, 2), { name: "ConfigError", message: expected });
  });
}

test("the rest is not", () => {
  for (const values of [{}, { objective: "reward" }, { objective: "dpo", shard: "all" }]) {
    refuseOnRanks(loadConfig({ values: { ...common, ...values } }).config, 2);
  }
});
