/** A first configuration for given rows and memory: chosen by the data check and the plan, each value with its reason. */
import { ConfigError } from "../base/errors.ts";
import { formatBytes } from "../base/file-io.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { fieldOf, isConfigKey } from "../config/keys.ts";
import { checkOverrides, loadConfig } from "../config/load-config.ts";
import { isOnPolicy, REWARD_SOURCES } from "../config/online-keys.ts";
import { valueText } from "../config/print-config.ts";
import type { ConfigKey, RunConfig } from "../config/run-config.ts";
import { valueFromText } from "../config/schema-text.ts";
import type { Example } from "../data/example.ts";
import { promptKeyOf } from "../data/fingerprint.ts";
import { assertPreflight } from "../data/preflight.ts";
import { contextLength } from "../formats/model-config.ts";
import { resolveModelDirectory } from "../hub/hub-model.ts";
import { type MethodName, methodNames, methodOf } from "../methods/index.ts";
import type { Plan } from "../planner/run-plan.ts";
import { type PreparedData, prepareData, taskOf } from "../train/prepare-data.ts";
import { plan } from "./plan.ts";

/** What is asked for. */
export interface Wishes {
  model: string;
  data: string;
  objective: string;
  /** GiB that the run may take; left out: what the device has. */
  memoryGiB?: number;
  /** Name of a GPU that it is for; left out: this machine. */
  gpu?: string;
  /** Keys and their values as on a command line, which stand whatever would be chosen. */
  overrides: readonly [key: string, value: string][];
  onPhase?: PhaseListener;
}

/** A configuration that the data check and the plan have passed. */
export interface FirstConfig {
  /** As YAML, with comments. */
  yaml: string;
  config: RunConfig;
  data: PreparedData;
  plan: Plan;
}

/** How steps are cut. */
interface Sizes {
  /** Rows of an optimiser step; on-policy completions. */
  step: number;
  /** Those of one row of the data: on-policy the completions of a prompt. */
  group: number;
  /** Rows of a micro-batch: a multiple of the first, the second at most. */
  unit: number;
  most: number;
}

/** A value, and what is said above it. */
interface Choice {
  key: ConfigKey;
  value: unknown;
  why?: string;
}

/** Rows of an optimiser step, where the completions of a prompt do not ask for more. */
const usualStepRows = 16;
/** Rows of a micro-batch at most: more gains little where nothing is padded. */
const usualMicroRows = 8;
/** With fewer rows none are held out. */
const leastRowsToHoldOut = 40;
/** Longest rows that are proposed; a key raises it. */
const usualLength = 2048;
/** Evaluations and checkpoints in the first epoch. */
const looks = 5;

const LORA_KEYS: readonly ConfigKey[] = ["lora_r", "lora_alpha"];

/**
 * The configuration.
 *
 * @throws {ConfigError} if a wish is none that a run can have, or nothing fits the memory, with what would help
 * @throws {DataError} if rows have errors
 */
export async function firstConfig(wishes: Wishes): Promise<FirstConfig> {
  const { onPhase = () => {} } = wishes;
  checkOverrides(wishes.overrides);
  const fixed = fixedValues(wishes);
  const objective = objectiveOf(fixed.get("objective") ?? wishes.objective);
  const directory = await resolveModelDirectory(wishes.model, { parts: "text", onPhase });
  const sizes = sizesOf(objective, fixed);
  const check = (choices: readonly Choice[]): Promise<PreparedData> =>
    checkedRows(configOf([...choices, ...batchChoices(sizes, sizes.most)], fixed), directory, onPhase);

  const begin = [...placeOf(wishes, objective), ...rowChoices(wishes)];
  const seen = await check([
    ...begin,
    { key: "max_length", value: 2 ** 20 },
    { key: "overflow", value: "drop" },
  ]);
  const rows = [...begin, ...lengthChoices(seen), ...stringChoices(seen), ...heldOutChoices(seen)];
  const data = await check(rows);
  assertPreflight(data.dataset.report);

  const rest = courseChoices(data, sizes);
  const fits = await fittingChoices([...rows, ...rest], fixed, wishes, { data, sizes });
  const choices = [...rows, ...fits.choices, ...rest];
  const yaml = yamlOf(choices, fixed);
  return { yaml, config: loadConfig({ yaml }).config, data, plan: fits.plan };
}

/** Values that are given, in the types of their keys. */
function fixedValues({ overrides, objective }: Wishes): Map<string, unknown> {
  const known = methodNames.find((name) => name === objective);
  return new Map(
    overrides.map(([word, text]): [string, unknown] => {
      const key = word.replaceAll("-", "_");
      return [key, isConfigKey(key) ? valueFromText(fieldOf(key, known).schema, text) : text];
    }),
  );
}

function objectiveOf(value: unknown): MethodName {
  const name = methodNames.find((one) => one === value);
  if (name !== undefined) return name;
  throw new ConfigError(
    `objective: expected one of ${methodNames.join(", ")}, got ${JSON.stringify(value)}.`,
  );
}

/** On-policy a step has whole prompts' completions, and so has a micro-batch where these make pairs. */
function sizesOf(objective: MethodName, fixed: ReadonlyMap<string, unknown>): Sizes {
  const isSampled = REWARD_SOURCES.some((key) => (fixed.get(key) ?? null) !== null);
  const { default: usual } = fieldOf("num_generations");
  const group = isSampled ? Number(fixed.get("num_generations") ?? usual) || 1 : 1;
  const unit = methodOf(objective).over === "pairs" ? group : 1;
  return {
    step: group * Math.ceil(usualStepRows / group),
    group,
    unit,
    most: unit * Math.max(1, Math.floor(usualMicroRows / unit)),
  };
}

function placeOf({ model }: Wishes, objective: MethodName): Choice[] {
  const name = model.replace(/\/+$/, "").split("/").at(-1)?.toLowerCase() ?? "model";
  return [
    { key: "model_name_or_path", value: model, why: "A directory, or a name on the hub." },
    { key: "output_dir", value: `runs/${name}-${objective}` },
    {
      key: "objective",
      value: objective,
      why: "docs/objectives.md says what each is for, and what its values do.",
    },
  ];
}

function rowChoices({ data }: Wishes): Choice[] {
  return [
    {
      key: "train_data",
      value: data,
      why: "Rows to train on; preftune data check RUN.yaml --show 2 shows what they become.",
    },
  ];
}

function longestRow(examples: readonly Example[]): number {
  const lengths = examples.map(
    ({ promptIds, completions }) =>
      promptIds.length + Math.max(0, ...completions.map(({ ids }) => ids.length)),
  );
  return lengths.reduce((longest, length) => Math.max(longest, length), 0);
}

function lengthChoices({ dataset, modelConfig }: PreparedData): Choice[] {
  const longest = longestRow(dataset.examples);
  const limit = Math.min(usualLength, contextLength(modelConfig));
  const value = Math.min(limit, Math.max(64, 64 * Math.ceil(longest / 64)));
  // what is longer than the model's context did not become an example
  const beyond = dataset.report.counts.dropped["longer_than_context"] ?? 0;
  const over = beyond + dataset.examples.filter((example) => longestRow([example]) > value).length;
  const longer = `${over} of ${dataset.examples.length + beyond} rows ${over === 1 ? "is" : "are"} longer than this and left out`;
  const within = beyond === 0 ? "" : " within the model's context";
  const why = `The longest row${within} has ${longest} tokens${over === 0 ? "" : `; ${longer}`}.`;
  return [
    { key: "max_length", value, why },
    ...(over === 0 ? [] : [{ key: "overflow" as const, value: "drop" }]),
  ];
}

/** Plain strings for a model with a chat template are taken for a user's and an assistant's message. */
function stringChoices({ dataset }: PreparedData): Choice[] {
  if (!dataset.report.findings.some(({ code }) => code === "plain_strings")) return [];
  const why =
    "Prompts and answers are plain strings, and the model has a chat template: they become messages. text: they stay as they are.";
  return [{ key: "plain_strings", value: "chat", why }];
}

function heldOutChoices({ dataset }: PreparedData): Choice[] {
  const { examples } = dataset;
  if (examples.length < leastRowsToHoldOut || new Set(examples.map(promptKeyOf)).size < 2) return [];
  const why =
    "Rows held out: evaluations on them show whether chosen answers gain, or rejected ones merely fall.";
  return [{ key: "eval_fraction", value: 0.1, why }];
}

function courseChoices({ dataset }: PreparedData, { step, group }: Sizes): Choice[] {
  const steps = Math.max(1, Math.ceil((dataset.examples.length * group) / step));
  const every = Math.max(1, Math.floor(steps / looks));
  const isEvaluated = dataset.evalExamples !== null && dataset.evalExamples.length > 0;
  return [
    {
      key: "num_train_epochs",
      value: 1,
      why: `An epoch is ${steps} steps; evaluations and checkpoints come every ${every}.`,
    },
    { key: "warmup_ratio", value: 0.1 },
    { key: "logging_steps", value: Math.max(1, Math.min(10, every)) },
    ...(isEvaluated
      ? ([
          { key: "eval_strategy", value: "steps" },
          { key: "eval_steps", value: every },
          { key: "eval_on_start", value: true },
        ] as const)
      : []),
    { key: "save_strategy", value: "steps" },
    { key: "save_steps", value: every },
    { key: "save_total_limit", value: 2 },
  ];
}

/** What saves memory, the cheapest first: each with what was before. */
const savings: readonly { isFull: boolean; choices: Choice[] }[] = [
  { isFull: false, choices: [] },
  { isFull: false, choices: [{ key: "gradient_checkpointing", value: true }] },
  {
    isFull: false,
    choices: [
      { key: "gradient_checkpointing", value: true },
      { key: "load_in_4bit", value: true },
    ],
  },
  { isFull: true, choices: [] },
  { isFull: true, choices: [{ key: "gradient_checkpointing", value: true }] },
  {
    isFull: true,
    choices: [
      { key: "gradient_checkpointing", value: true },
      { key: "optim", value: "adamw_8bit" },
    ],
  },
];

/** The first settings whose plan fits the memory, with the largest micro-batch that does. */
async function fittingChoices(
  others: readonly Choice[],
  fixed: ReadonlyMap<string, unknown>,
  { memoryGiB, gpu }: Wishes,
  { data, sizes }: { data: PreparedData; sizes: Sizes },
): Promise<{ choices: Choice[]; plan: Plan }> {
  const isFull = fixed.get("use_peft") === false;
  const trained = isFull ? [] : loraChoices;
  const options = {
    ...(memoryGiB === undefined ? {} : { memoryGiB }),
    ...(gpu === undefined ? {} : { gpu }),
    data,
  };
  const planned = (choices: readonly Choice[]) => plan(configOf([...others, ...choices], fixed), options);
  let advice: Plan["advice"] = [];
  for (const saving of savings.filter((one) => one.isFull === isFull)) {
    const saved = [...trained, ...saving.choices];
    const { unit, most } = sizes;
    const first = await planned([...saved, ...batchChoices(sizes, most)]);
    advice = first.advice;
    const size = unit * Math.max(1, powerBelow(Math.min(most, largestOf(first, most)) / unit));
    const last = size === most ? first : await planned([...saved, ...batchChoices(sizes, size)]);
    if (!last.memory.fits) continue;
    const why = `Planned: ${formatBytes(last.memory.total)} of ${formatBytes(last.device.usableBytes)} that may be filled (${last.device.name}).`;
    return { choices: [...saved, ...batchChoices(sizes, size, why)], plan: last };
  }
  throw nothingFits(advice, memoryGiB);
}

function nothingFits(advice: Plan["advice"], memoryGiB: number | undefined): ConfigError {
  const help = advice.map(
    ({ change, bytes, fits }) => `  ${change}: ${formatBytes(bytes)}${fits ? "" : ", which is too much too"}`,
  );
  return new ConfigError(
    `Nothing that is proposed fits ${memoryGiB === undefined ? "the memory" : `${memoryGiB} GiB`}. What would change it:\n${help.join("\n")}\nGive such a key (--key value), more --memory, or a smaller model.`,
  );
}

/** Rows of the largest micro-batch that fits. */
function largestOf({ methods, memory }: Plan, tried: number): number {
  return methods.find(({ isOwn }) => isOwn)?.largestBatch ?? (memory.fits ? tried : 0);
}

/** 8, 4, 2, 1 or 0 */
function powerBelow(size: number): number {
  return size < 1 ? 0 : 2 ** Math.floor(Math.log2(size));
}

const loraChoices: Choice[] = [
  {
    key: "use_peft",
    value: true,
    why: "LoRA: a small adapter is trained. false trains all weights, in several times the memory.",
  },
  { key: "lora_r", value: 16 },
  { key: "lora_alpha", value: 32 },
];

function batchChoices({ step, group }: Sizes, size: number, why = ""): Choice[] {
  const rows = group === 1 ? "Rows" : `Completions (${group} of a prompt)`;
  return [
    {
      key: "train_batch_size",
      value: step,
      why: `${rows} of a step; cut into micro-batches, which changes memory and not the result. ${why}`.trim(),
    },
    { key: "per_device_train_batch_size", value: size },
  ];
}

function configOf(choices: readonly Choice[], fixed: ReadonlyMap<string, unknown>): RunConfig {
  return loadConfig({ yaml: yamlOf(choices, fixed) }).config;
}

/** The choices as YAML, each as it is given where it is given; then what is given besides. */
function yamlOf(choices: readonly Choice[], fixed: ReadonlyMap<string, unknown>): string {
  const own = choices.filter(({ key }) => isOfUse(key, choices, fixed));
  const lines = own.flatMap(({ key, value, why }) => [
    ...(why === undefined ? [] : ["", `# ${why}`]),
    `${key}: ${textOf(key, fixed.has(key) ? fixed.get(key) : value)}`,
  ]);
  const more = [...fixed].filter(([key]) => !own.some((choice) => choice.key === key));
  const given = more.map(([key, value]) => `${key}: ${textOf(key as ConfigKey, value)}`);
  return `${[...lines, ...(given.length === 0 ? [] : ["", "# As given.", ...given])].join("\n").trim()}\n`;
}

/** A list of words is what a command line gives for rows, which a configuration that was read holds as objects. */
function textOf(key: ConfigKey, value: unknown): string {
  const isWords = Array.isArray(value) && value.every((one) => typeof one === "string");
  return isWords ? JSON.stringify(value) : valueText(key, value);
}

/** Whether a choice has an effect beside what is given. */
function isOfUse(key: ConfigKey, choices: readonly Choice[], fixed: ReadonlyMap<string, unknown>): boolean {
  if (fixed.has(key)) return true;
  if (LORA_KEYS.includes(key) && fixed.has("adapter_name_or_path")) return false;
  if (key === "train_batch_size") {
    return !["tokens_per_step", "gradient_accumulation_steps"].some((other) => fixed.has(other));
  }
  if (key === "per_device_train_batch_size") {
    return !["tokens_per_step", "max_tokens_per_micro_batch"].every((other) => fixed.has(other));
  }
  if (key === "eval_fraction") return !fixed.has("eval_data");
  if (key === "warmup_ratio") {
    return !fixed.has("warmup_steps") && fixed.get("lr_scheduler_type") !== "constant";
  }
  return (
    !(key === "num_train_epochs" && fixed.has("max_steps")) && choices.some((choice) => choice.key === key)
  );
}

function checkedRows(config: RunConfig, directory: string, onPhase: PhaseListener): Promise<PreparedData> {
  const task = taskOf(methodOf(config.method.objective).over, isOnPolicy(config));
  return prepareData({ ...config, model_name_or_path: directory, task }, onPhase);
}
