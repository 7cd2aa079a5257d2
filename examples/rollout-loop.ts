/**
 * A custom loop of rollouts: a curriculum that continues with longer prompts once the reward is good. Sampling, rewards, objective and
 * checkpoints are preftune's. Run: npm run ts -- examples/rollout-loop.ts RUN.yaml OUTPUT_DIR
 */
import { openRolloutTraining, rollout, rolloutMetrics, score, update } from "preftune/online";

const [file = "", output = "", steps = "20"] = process.argv.slice(2);
await using open = await openRolloutTraining({ file });
const { config, training, data, rewards } = open;
const { tokenizer, stopIds, dataset } = data;
const { model, numerics, objective } = training;
const prompts = dataset.examples
  .map((example, index) => ({ example, index }))
  .sort((a, b) => a.example.promptIds.length - b.example.promptIds.length);

let level = 4;
for (let step = 0; step < Number(steps); step++) {
  const first = (4 * step) % level;
  const groups = await rollout(model, prompts.slice(first, first + 4), {
    ...config,
    stopIds,
    dtype: numerics.dtype,
    seed: step,
  });
  const scored = await score(rewards, groups, { ...config, tokenizer, step });
  const { metrics } = update(training, objective, scored, { ...config, seed: step });
  const reward = metrics["reward"] ?? 0;
  const { "completions/mean_length": length } = rolloutMetrics(scored);
  console.log(`step ${step + 1}: reward ${reward.toFixed(3)}, ${length} tokens, ${level} prompts`);
  if (reward > 0.5) level = Math.min(prompts.length, 2 * level);
}
console.log(await open.save(output, Number(steps)));
