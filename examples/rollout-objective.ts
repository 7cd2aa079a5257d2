/**
 * A custom objective on the model's own completions: REINFORCE against the group's mean, each push bounded. Sampling, rewards,
 * micro-batches and checkpoints are preftune's. Run: npm run ts -- examples/rollout-objective.ts MODEL_DIR PROMPTS.jsonl OUTPUT_DIR
 */
import { train } from "preftune";
import { type CompletionObjective, groupAdvantages, meanOf, rewardMetrics } from "preftune/methods";
import { ops, type Tensor } from "preftune/torch";

const reinforce: CompletionObjective = {
  name: "reinforce",
  over: "groups",
  mayCutGroups: true,
  columns: { advantages: "completion" },
  // once a rollout, in plain numbers
  prepare(rollout) {
    const advantages = groupAdvantages(rollout.rewards, rollout.groupSizes, "none").map(Math.tanh);
    return { columns: { advantages }, metrics: rewardMetrics(rollout) };
  },
  // for each micro-batch, in tensors
  evaluate({ logps, completion, columns }, totals) {
    const gain = ops.mul(logps, ops.indexSelect(columns["advantages"] as Tensor, 0, completion));
    return { loss: ops.mul(ops.sum(gain), -1 / totals.tokens), metrics: { "logps/own_mean": meanOf(logps) } };
  },
};

const [model_name_or_path = "", train_data = "", output_dir = ""] = process.argv.slice(2);
const rewards = { reward_funcs: ["length"], num_generations: 4, max_completion_length: 24 };
const config = { model_name_or_path, train_data, output_dir, ...rewards, max_steps: 2, logging_steps: 1 };
for await (const event of train({ ...config, objective: "grpo" }, { objective: reinforce }))
  if (event.type === "log") console.log(`step ${event.row.global_step}: reward ${event.row["reward"]}`);
