/** What study `online` compares: methods, and the tasks of each in either budget (a table). */
import type { ConfigValues } from "preftune/sweep";
import type { Budget } from "../setup.ts";

/** Rewards on the islands. */
export const TASKS = ["exact", "proxy", "coin"] as const;
export type TaskName = (typeof TASKS)[number];

/** How a model is trained on-policy. */
export interface OnlineMethod {
  name: string;
  values: ConfigValues;
  tasks: Readonly<Record<Budget, readonly TaskName[]>>;
  /** Tasks on which the question is about it: there the quick budget has all its seeds, elsewhere one. */
  quickSeeds?: readonly TaskName[];
}

/** The method that the others are compared with. */
export const REFERENCE = "grpo";

const all = TASKS;
const slime: ConfigValues = { objective: "slime" };
const grpo: ConfigValues = { objective: "grpo" };
// one update a rollout, as the others; in TRL PPO makes four
const ppo: ConfigValues = { objective: "ppo", num_ppo_epochs: 1, kl_coef: 0 };

/** All methods. Without a KL unless the name says so. */
export const METHODS: readonly OnlineMethod[] = [
  { name: REFERENCE, values: grpo, quickSeeds: ["exact", "proxy"], tasks: { quick: all, full: all } },
  { name: "slime", values: slime, quickSeeds: ["exact", "proxy"], tasks: { quick: all, full: all } },
  {
    name: "dpo",
    values: { objective: "dpo" },
    quickSeeds: ["exact", "proxy"],
    tasks: { quick: all, full: all },
  },
  { name: "ppo", values: ppo, quickSeeds: ["exact"], tasks: { quick: ["exact", "proxy"], full: all } },
  { name: "simpo", values: { objective: "simpo" }, tasks: { quick: [], full: ["exact", "proxy"] } },
  {
    name: "rloo",
    values: { objective: "rloo", beta: 0 },
    tasks: { quick: ["exact"], full: ["exact", "proxy"] },
  },
  {
    name: "raft",
    values: { objective: "raft", reward_threshold: 0 },
    tasks: { quick: ["exact"], full: ["exact", "proxy"] },
  },
  {
    name: "grpo, KL in the loss",
    values: { ...grpo, beta: 0.05 },
    tasks: { quick: ["proxy"], full: all },
    quickSeeds: ["proxy"],
  },
  {
    name: "slime, KL in the loss",
    values: { ...slime, kl_coef: 0.5, kl_in: "loss" },
    tasks: { quick: ["proxy", "coin"], full: all },
    quickSeeds: ["proxy"],
  },
  {
    name: "slime, KL in the reward",
    values: { ...slime, kl_coef: 0.05, kl_in: "reward" },
    tasks: { quick: ["proxy", "coin"], full: all },
  },
  {
    name: "slime, replay",
    values: { ...slime, replay: 0.5 },
    tasks: { quick: ["proxy", "coin"], full: all },
  },
  {
    name: "slime, no anchor",
    values: { ...slime, lambda_w: 0 },
    tasks: { quick: ["exact"], full: all },
  },
  {
    name: "slime, best_worst",
    values: { ...slime, pairs: "best_worst" },
    tasks: { quick: ["exact"], full: ["exact", "proxy"] },
  },
  {
    name: "slime, s 10",
    values: { ...slime, steps_per_generation: 10 },
    tasks: { quick: ["exact"], full: ["exact", "proxy"] },
  },
  {
    // of rewards 0 and 1 the better one of a pair is always positive: only proxy distinguishes the two
    name: "slime, positive",
    values: { ...slime, anchor_on: "positive", anchor_threshold: 2 },
    tasks: { quick: ["proxy"], full: ["proxy"] },
  },
  {
    name: "grpo, s 10",
    values: { ...grpo, steps_per_generation: 10 },
    tasks: { quick: ["exact"], full: ["exact"] },
  },
  {
    name: "dr_grpo",
    values: { ...grpo, loss_type: "dr_grpo" },
    tasks: { quick: [], full: ["exact"] },
  },
  {
    name: "slime, config",
    values: { ...slime, preset: "config" },
    tasks: { quick: [], full: ["exact", "proxy"] },
  },
  {
    name: "slime, script",
    values: { ...slime, preset: "script" },
    tasks: { quick: [], full: ["exact"] },
  },
  {
    name: "slime, paper",
    values: { ...slime, preset: "paper" },
    tasks: { quick: [], full: ["exact", "proxy"] },
  },
  {
    name: "ppo, KL in the reward",
    values: { ...ppo, kl_coef: 0.05 },
    tasks: { quick: [], full: ["proxy"] },
  },
];
