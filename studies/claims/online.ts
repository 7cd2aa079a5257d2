/** On-policy: does SLIME keep its stability when it learns from its own answers, and how does it compare with GRPO? */
import { join } from "node:path";
import type { Condition, ConfigValues, Measured, ReportSection } from "preftune/sweep";
import { chosenRate, ratesSections, searchedRates } from "../analyses/rates.ts";
import { rolloutSections } from "../analyses/rollout-sections.ts";
import type { Asked, StudyDefinition } from "../definition.ts";
import type { Budget } from "../setup.ts";
import { METHODS, type OnlineMethod, REFERENCE, TASKS, type TaskName } from "./online-methods.ts";

/** The study. */
export const online: StudyDefinition = {
  title: "On-policy: SLIME on its own answers, beside GRPO and others",
  question:
    "SLIME's authors leave open whether its stability carries over to on-policy sampling. Rewards on the quick start's islands: exact (the right answer), " +
    "proxy (numbered lines that name an island; gold: exact) and coin (random: nothing should move); on your own model: within 40 tokens (easily " +
    "found), three bullets (rarely earned), and a reward model where one is given. What is learned, how far does the model go from its start, and what " +
    "becomes of good answers?",
  metrics: ["reward", "gold", "kl_init", "chosen_change", "chosen_down", "entropy", "distinct", "length"],
  referenceOf: (name) => {
    const [task, method] = splitName(name);
    return method === REFERENCE ? null : nameOf(task, REFERENCE);
  },
  groupOf: (name) => splitName(name)[0],
  evaluations: "some",
  needsAnswers: false,
  canChoose: true,
  takesRewardModel: true,
  seeds: { quick: 2, full: 3 },
  search: { seeds: { quick: 0, full: 1 }, conditions: searchConditions },
  conditions: ({ budget, prompts, searched, rewardModel = null }) =>
    prompts === null
      ? ownConditions(rewardModel)
      : TASKS.flatMap((task) =>
          METHODS.filter(({ tasks }) => tasks[budget].includes(task)).map((method) =>
            islandsCondition(task, method, { budget, prompts, searched }),
          ),
        ),
  values: ({ budget, prompts }) => (prompts === null ? { ...ownValues, ...ownSize[budget] } : {}),
  sections: (measured, searched) => [
    ...missingSections(measured),
    ...rolloutSections(measured, { splitName, reference: REFERENCE, unearnable: ["coin"] }),
    ...ratesSections(searched),
  ],
};

function nameOf(task: string, method: string): string {
  return `${task}: ${method}`;
}

function splitName(name: string): [task: string, method: string] {
  const [task = "", method = ""] = name.split(": ");
  return [task, method];
}

/** Which methods are missing on which task: the quick budget has not all. */
function missingSections(measured: Measured): ReportSection[] {
  const tasks = TASKS.filter((task) => measured.has(nameOf(task, REFERENCE)));
  const missing = tasks.flatMap((task) => {
    const names = METHODS.filter(
      ({ name, tasks: of }) => of.full.includes(task) && !measured.has(nameOf(task, name)),
    );
    return names.length === 0 ? [] : [`${task}: ${names.map(({ name }) => name).join("; ")}.`];
  });
  if (missing.length === 0) return [];
  return [
    {
      title: "Left out",
      note: `One learning rate for all (${defaultRate}), none searched; fewer seeds and held-out prompts; and these methods, which --budget full has. ${missing.join(" ")}`,
    },
  ];
}

/** Steps, and steps between two evaluations. */
const length: Record<TaskName, { steps: number; between: number }> = {
  exact: { steps: 40, between: 10 },
  // the trick is found early, and an end tells only who found it
  proxy: { steps: 20, between: 4 },
  coin: { steps: 20, between: 10 },
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

function islandsValues(
  task: TaskName,
  { values }: OnlineMethod,
  { prompts, budget }: { prompts: ConfigValues; budget: Budget },
): ConfigValues {
  return {
    ...prompts,
    ...sampling,
    reward_funcs: [reward(task)],
    eval_reward_funcs: [reward("exact")],
    max_steps: length[task].steps,
    eval_steps: length[task].between,
    ...(budget === "quick" ? { max_eval_rows: 80 } : { max_train_rows: null }),
    ...values,
  };
}

function islandsCondition(
  task: TaskName,
  method: OnlineMethod,
  { budget, prompts, searched }: Pick<Asked, "budget" | "searched"> & { prompts: ConfigValues },
): Condition {
  const { name } = method;
  const rate = searched === null ? null : chosenRate(searched, name);
  return {
    name: nameOf(task, name),
    fewerSeeds: budget === "full" || method.quickSeeds?.includes(task) === true ? 0 : 1,
    changes: { ...islandsValues(task, method, { prompts, budget }), learning_rate: rate ?? defaultRate },
  };
}

/** Each rate on exact alone: on proxy the one that earns most is that which finds the trick first. Only the end is looked at. */
function searchConditions({ budget, prompts }: Omit<Asked, "searched">): Condition[] {
  if (prompts === null) return [];
  return METHODS.flatMap((method) =>
    searchedRates(method.name, rates).map(({ condition, rate }) => ({
      name: condition,
      changes: {
        ...islandsValues("exact", method, { prompts, budget }),
        ...{ eval_on_start: false, eval_steps: length.exact.steps, learning_rate: rate },
      },
    })),
  );
}

/** A reward for a model and rows of the user's own, and the longest completion, in tokens. */
interface OwnTask {
  task: string;
  longest: number;
  rewards: ConfigValues;
}

/** Rewards of text alone. */
const textTasks: readonly OwnTask[] = [
  {
    task: "within 40 tokens",
    longest: 56,
    rewards: { reward_funcs: [reward("withinForty")], reward_workers: 1 },
  },
  {
    task: "three bullets",
    longest: 64,
    rewards: { reward_funcs: [reward("threeBullets")], reward_workers: 1 },
  },
];

/** A reward model alone. */
function modelTask(rewardModel: string): OwnTask {
  return { task: "reward model", longest: 64, rewards: { reward_model: rewardModel } };
}

/** Compared on rows of the user's own. */
const ownMethods: readonly string[] = [REFERENCE, "slime", "dpo"];

/** Prompts × 8 completions a step, and what is measured. */
const ownSize: Record<Budget, ConfigValues> = {
  quick: { gradient_accumulation_steps: 2, max_steps: 6, eval_steps: 6, max_eval_rows: 8 },
  full: { gradient_accumulation_steps: 4, max_steps: 40, eval_steps: 10 },
};

/** The same in both budgets. */
const ownValues: ConfigValues = {
  num_generations: 8,
  num_generations_eval: 4,
  lora_dropout: 0,
  per_device_train_batch_size: 8,
  lr_scheduler_type: "constant",
  warmup_ratio: 0,
  learning_rate: 1e-3,
  logging_steps: 1,
};

function ownConditions(rewardModel: string | null): Condition[] {
  const compared = METHODS.filter(({ name }) => ownMethods.includes(name));
  const tasks = rewardModel === null ? textTasks : [...textTasks, modelTask(rewardModel)];
  return tasks.flatMap(({ task, longest, rewards }) =>
    compared.map(({ name, values }) => ({
      name: nameOf(task, name),
      changes: { max_completion_length: longest, save_strategy: "no", ...rewards, ...values },
    })),
  );
}
