/** On-policy runs in tests: a tiny model, prompts with a column for rewards, reward functions in a module. */
import { writeFileSync } from "node:fs";
import { type RunFixture, runFixture, type Values } from "./runs.ts";
import { pairRows, type TinyModelOptions, writeRows } from "./tiny-model.ts";

/** The fraction of even token ids: no text decides it, and it differs within every group. */
const rewardModule = `
export function even({ completion_ids }) {
  return completion_ids.map((ids) => ids.filter((id) => id % 2 === 0).length / Math.max(1, ids.length));
}
export function shorter({ completion_ids, columns }) {
  return completion_ids.map((ids, i) => -ids.length / columns.limit[i]);
}
export function alike({ completions }) {
  return completions.map(() => 1);
}
export function some({ completion_ids }) {
  return completion_ids.map((ids) => (ids[0] % 4 === 0 ? 1 : 0));
}
`;

/** What an on-policy fixture has besides others. */
export interface OnlineFixture extends RunFixture {
  /** Path of the reward functions' module: even, shorter, alike, and some, which a third of all groups of four have alike. */
  rewards: string;
  /** Values of a small GRPO run. */
  online: Values;
}

/** Prompts, a tiny model and reward functions. */
export function onlineFixture(
  options: TinyModelOptions & { rows?: number; held?: number } = {},
): OnlineFixture {
  const { rows = 6, held = 0, ...rest } = options;
  const fixture = runFixture({ ...rest, rows: 2, held: 0 });
  const all = pairRows(rows + held).map(({ prompt, chosen }, i) => ({ prompt, chosen, limit: 4 + i }));
  const rewards = fixture.path("rewards.mjs");
  writeFileSync(rewards, rewardModule);
  const online: Values = {
    ...fixture.values,
    train_data: writeRows(fixture.path("prompts.jsonl"), all.slice(0, rows)),
    ...(held > 0 ? { eval_data: writeRows(fixture.path("held-prompts.jsonl"), all.slice(rows)) } : {}),
    objective: "grpo",
    reward_funcs: [`${rewards}#even`],
    reward_workers: 1,
    num_generations: 4,
    max_completion_length: 8,
    per_device_train_batch_size: 4,
    gradient_accumulation_steps: 2,
    learning_rate: 2e-3,
    max_steps: 4,
    logging_steps: 1,
    save_steps: 1,
  };
  return { ...fixture, rewards, online };
}
