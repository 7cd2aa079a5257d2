/** On-policy: does SLIME keep its stability when it learns from its own answers, and how does it compare with GRPO? */
import { join } from "node:path";
import type { Condition, ConfigValues } from "preftune/sweep";
import { chosenRate, searchedRates } from "../analyses/rates.ts";
import { rolloutSections } from "../analyses/rollout-sections.ts";
import type { Asked, StudyDefinition } from "../definition.ts";
import type { Budget } from "../setup.ts";

/** The study. */
export const online: StudyDefinition = {
  title: "On-policy: SLIME on its own answers, beside GRPO and others",
  question:
    "SLIME's authors leave open whether its stability carries over to on-policy sampling. Three rewards on the quick start's islands: exact (the right answer), " +
    "proxy (numbered lines that name an island; gold: exact) and coin (random: nothing should move). What is learned, how far does the model go from its start, " +
    "and what becomes of good answers?",
  metrics: ["reward", "gold", "kl_init", "chosen_change", "chosen_down", "entropy", "distinct", "length"],
  referenceOf: (name) => {
    const [task, method] = splitName(name);
    return method === reference ? null : nameOf(task, reference);
  },
  evaluations: "some",
  needsAnswers: false,
  seeds: { quick: 2, full: 5 },
  search: { seeds: { quick: 0, full: 2 }, conditions: searchConditions },
  conditions: ({ budget, prompts, searched }) =>
    prompts === null
      ? ownConditions()
      : taskNames.flatMap((task) =>
          methods
            .filter(({ tasks }) => budget === "full" || tasks.includes(task))
            .map((method) => islandsCondition(task, method, { budget, prompts, searched })),
        ),
  sections: (measured) => rolloutSections(measured, splitName),
};

const reference = "grpo";

const taskNames = ["exact", "proxy", "coin"] as const;
type TaskName = (typeof taskNames)[number];

function nameOf(task: string, method: string): string {
  return `${task}: ${method}`;
}

function splitName(name: string): [task: string, method: string] {
  const [task = "", method = ""] = name.split(": ");
  return [task, method];
}

/** How a model is trained on-policy. */
interface OnlineMethod {
  name: string;
  values: ConfigValues;
  /** Tasks of the quick budget. The full one has all of each. */
  tasks: readonly TaskName[];
}

const slime: ConfigValues = { objective: "slime" };
const grpo: ConfigValues = { objective: "grpo" };

const methods: readonly OnlineMethod[] = [
  { name: reference, values: grpo, tasks: taskNames },
  { name: "grpo, KL in the loss", values: { ...grpo, beta: 0.05 }, tasks: ["proxy"] },
  { name: "grpo, s 10", values: { ...grpo, steps_per_generation: 10 }, tasks: ["exact"] },
  { name: "dr_grpo", values: { ...grpo, loss_type: "dr_grpo" }, tasks: [] },
  { name: "rloo", values: { objective: "rloo", beta: 0 }, tasks: ["exact"] },
  { name: "raft", values: { objective: "raft", reward_threshold: 0 }, tasks: ["exact"] },
  { name: "dpo", values: { objective: "dpo" }, tasks: taskNames },
  { name: "simpo", values: { objective: "simpo" }, tasks: [] },
  { name: "slime", values: slime, tasks: taskNames },
  { name: "slime, script", values: { ...slime, preset: "script" }, tasks: [] },
  { name: "slime, config", values: { ...slime, preset: "config" }, tasks: [] },
  { name: "slime, no anchor", values: { ...slime, lambda_w: 0 }, tasks: ["exact"] },
  { name: "slime, best_worst", values: { ...slime, pairs: "best_worst" }, tasks: ["exact"] },
  { name: "dpo, best_worst", values: { objective: "dpo", pairs: "best_worst" }, tasks: [] },
  {
    name: "slime, positive",
    values: { ...slime, anchor_on: "positive", anchor_threshold: 2 },
    tasks: ["proxy"],
  },
  {
    name: "slime, KL in the loss",
    values: { ...slime, kl_coef: 0.5, kl_in: "loss" },
    tasks: ["proxy", "coin"],
  },
  {
    name: "slime, KL in the reward",
    values: { ...slime, kl_coef: 0.05, kl_in: "reward" },
    tasks: ["proxy", "coin"],
  },
  { name: "slime, replay", values: { ...slime, replay: 0.5 }, tasks: ["proxy", "coin"] },
  { name: "slime, s 10", values: { ...slime, steps_per_generation: 10 }, tasks: ["exact"] },
];

const steps: Record<TaskName, Record<Budget, number>> = {
  exact: { quick: 40, full: 100 },
  // what it comes to shows early, and an end tells only who found the trick
  proxy: { quick: 20, full: 100 },
  coin: { quick: 20, full: 100 },
};

/** As quick start's preference stage has it, where it fits. */
const defaultRate = 5e-4;
const rates = [2e-4, defaultRate, 1e-3];

/** 16 prompts × 8 completions a step. */
const sampling: ConfigValues = {
  num_generations: 8,
  num_generations_eval: 2,
  max_completion_length: 48,
  temperature: 1,
  reward_workers: 1,
  per_device_train_batch_size: 128,
  lr_scheduler_type: "constant",
  warmup_ratio: 0,
  adam_beta2: 0.98,
  logging_steps: 1,
};

/** A function of rewards.ts as a value of a configuration. */
function reward(name: string): string {
  return `${join(import.meta.dirname, "../rewards.ts")}#${name}`;
}

function islandsValues(task: TaskName, prompts: ConfigValues, budget: Budget): ConfigValues {
  return {
    ...prompts,
    ...sampling,
    reward_funcs: [reward(task)],
    eval_reward_funcs: [reward("exact")],
    max_steps: steps[task][budget],
    ...(budget === "quick" ? { max_eval_rows: 80 } : { max_train_rows: null }),
  };
}

function islandsCondition(
  task: TaskName,
  { name, values }: OnlineMethod,
  { budget, prompts, searched }: Pick<Asked, "budget" | "searched"> & { prompts: ConfigValues },
): Condition {
  const rate = searched === null ? defaultRate : (chosenRate(searched, name) ?? defaultRate);
  const changes = { ...islandsValues(task, prompts, budget), learning_rate: rate, ...values };
  return { name: nameOf(task, name), changes };
}

/** Every method with each rate, on exact alone: on proxy the rate that earns most is that which finds the trick first. */
function searchConditions({ budget, prompts }: Omit<Asked, "searched">): Condition[] {
  if (prompts === null) return [];
  return methods.flatMap(({ name, values }) =>
    searchedRates(name, rates).map(({ condition, rate }) => ({
      name: condition,
      changes: { ...islandsValues("exact", prompts, budget), max_steps: 40, learning_rate: rate, ...values },
    })),
  );
}

/** Rewards of text alone, for a model and rows of the user's own. */
const ownTasks: readonly { task: string; name: string }[] = [
  { task: "within 40 tokens", name: "withinForty" },
  { task: "three bullets", name: "threeBullets" },
];

function ownConditions(): Condition[] {
  const shared: ConfigValues = {
    num_generations: 8,
    num_generations_eval: 1,
    lora_dropout: 0,
    max_completion_length: 96,
    reward_workers: 1,
    per_device_train_batch_size: 8,
    gradient_accumulation_steps: 4,
    lr_scheduler_type: "constant",
    max_steps: 40,
    logging_steps: 1,
  };
  const compared = methods.filter(({ name }) => [reference, "dpo", "slime"].includes(name));
  return ownTasks.flatMap(({ task, name: rewarded }) =>
    compared.map(({ name, values }) => ({
      name: nameOf(task, name),
      changes: { ...shared, reward_funcs: [reward(rewarded)], ...values },
    })),
  );
}
