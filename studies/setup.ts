/** What a study trains and on what: the quick start's data and SFT model, made in the study's folder, or the user's own. */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { ConfigError } from "preftune";
import {
  type ConfigValues,
  deriveSeed,
  makeDirectory,
  type ProgressStream,
  readKey,
  remove,
  StudyStoppedError,
  writeFileAtomic,
} from "preftune/sweep";
import {
  type Flaw,
  fullSize,
  jsonLines,
  makeData,
  type PreferenceRow,
  runToyStage,
  type ToyData,
  type ToySize,
  tokenizerText,
  writeToyData,
} from "preftune/toy";

/** How much a study does. */
export type Budget = "quick" | "full";

/** What the user brings. */
export interface SetupOptions {
  budget: Budget;
  /** A configuration to start from; null for the recipe that fits. */
  config: string | null;
  model: string | null;
  data: string | null;
  evalData: string | null;
  /** A second preference set, for the study that compares two. */
  otherData: string | null;
  otherEvalData: string | null;
  /** Runs at a time; null for as many as fit. */
  jobs: number | null;
  cores: number;
  /** Training seeds. */
  seeds: number;
  /** Overrides of the command line for all runs, key and value. */
  overrides: readonly (readonly [string, string])[];
  out: ProgressStream;
  /** Ends the making of models. */
  signal?: AbortSignal;
}

/** One of two preference sets, as values of a configuration. */
export interface PairSet {
  name: string;
  values: ConfigValues;
}

/** What every run of a study shares. */
export interface StudySetup {
  file: string | null;
  /** Makes what is generated and not there yet. */
  make: () => Promise<void>;
  /** For all runs of a training seed, which count from 1. */
  valuesOf: (seed: number) => ConfigValues;
  /** For studies that look at what the models answer: the run's own watch samples it. */
  watch: ConfigValues;
  /** Two preference sets, for the study that compares such; empty where there is only one. */
  sets: readonly PairSet[];
  /** Prompts for on-policy runs; null for the user's own rows, which may be such. */
  prompts: ConfigValues | null;
  /** Runs at a time. */
  jobs: number;
  /** A sentence for the report. */
  note: string;
}

const recipes: string = join(import.meta.dirname, "../recipes");

/** Rows and answers looked at on the quick start's data. */
const generated: Record<Budget, ConfigValues> = { quick: { max_train_rows: 800 }, full: {} };
/** The same on custom data. */
const brought: Record<Budget, ConfigValues> = {
  quick: { max_train_rows: 192, max_eval_rows: 64 },
  full: { max_train_rows: null },
};
const answered: Record<Budget, ConfigValues> = {
  quick: { watch_prompts: "eval", watch_rows: 32, watch_samples: 4, watch_max_new_tokens: 64 },
  full: { watch_prompts: "eval", watch_rows: 64, watch_samples: 4, watch_max_new_tokens: 128 },
};

/**
 * The data and model of a study in the folder `dir`; what is generated is there after `make`.
 *
 * @throws {ConfigError} if the user brings a part of what is needed
 */
export function setUpStudy(dir: string, options: SetupOptions): StudySetup {
  const { config, model, data, evalData, otherData, otherEvalData } = options;
  const brings = [config, model, data, evalData, otherData, otherEvalData];
  if (brings.every((path) => path === null)) {
    const { seeds, out, signal } = options;
    const jobs = options.jobs ?? options.cores;
    return {
      file: join(recipes, "quickstart.yaml"),
      make: async () => {
        await generateSetup(dir, { size: fullSize, seeds, jobs, out, signal });
      },
      valuesOf: (seed) => ({ ...generatedValues(dir, seed), ...generated[options.budget] }),
      watch: answered[options.budget],
      sets: ["form", "content"].map((name) => ({ name, values: setFiles(dir, name) })),
      prompts: promptFiles(dir),
      jobs,
      note: `On the quick start's generated data and ${seeds === 1 ? "one SFT model of half a million weights" : "SFT models of half a million weights, another one for each seed"}, trained in full.`,
    };
  }
  return ownSetup(options);
}

function ownSetup(options: SetupOptions): StudySetup {
  const { config, model, data, evalData, budget, jobs, cores } = options;
  if (config === null && (model === null || data === null || evalData === null)) {
    throw new ConfigError(
      "expected --model DIR, --data FILE and --eval-data FILE together, or a configuration that names them with --config; " +
        "without any of them a study makes its own data and model.",
    );
  }
  if (config !== null && evalData === null) requireEvalData(config, options.overrides);
  const atOnce = jobs ?? 1;
  const values: ConfigValues = {
    // pairs of different runs can only be compared when they are the same: separate rows, not a split by seed
    eval_fraction: 0,
    ...(model === null ? {} : { model_name_or_path: model }),
    ...(data === null ? {} : { train_data: data }),
    ...(evalData === null ? {} : { eval_data: evalData }),
    ...(config === null ? brought[budget] : {}),
    ...(atOnce === 1 ? {} : { threads: Math.max(1, Math.floor(cores / atOnce)) }),
  };
  return {
    file: config ?? join(recipes, "smollm2-135m.yaml"),
    make: async () => {},
    valuesOf: () => values,
    watch: answered[budget],
    sets: ownSets(options),
    prompts: null,
    jobs: atOnce,
    note:
      config === null
        ? `On ${data} and ${model}, with LoRA as in recipes/smollm2-135m.yaml.`
        : `As ${config} says.`,
  };
}

/** @throws {ConfigError} when neither the file nor an override names held-out rows: a fraction of the rows is another one for each seed */
function requireEvalData(config: string, overrides: SetupOptions["overrides"]): void {
  const given = { file: config, overrides };
  if (readKey("eval_data", given) !== null) return;
  const fraction = readKey("eval_fraction", given) ?? 0;
  const got = fraction > 0 ? `eval_fraction ${fraction} alone` : "none";
  throw new ConfigError(
    `${config}: eval_data: expected separate held-out rows, so that the runs of a study are compared on the same pairs, got ${got}. ` +
      "Give --eval-data FILE, or eval_data in the configuration in place of eval_fraction.",
  );
}

function ownSets({ data, evalData, otherData, otherEvalData }: SetupOptions): PairSet[] {
  if (data === null || evalData === null || otherData === null || otherEvalData === null) return [];
  const [name, other] = [data, otherData].map((path) => basename(path).replace(/\..*$/, "")) as [
    string,
    string,
  ];
  return [
    { name: name === other ? "first set" : name, values: { train_data: data, eval_data: evalData } },
    {
      name: name === other ? "second set" : other,
      values: { train_data: otherData, eval_data: otherEvalData },
    },
  ];
}

/** Flaws of form; the others are of content. The quick start's pairs are two preference sets by them. */
const formFlaws: ReadonlySet<Flaw> = new Set(["one line", "no number", "no end", "repeated"]);

function setFiles(dir: string, name: string): { train_data: string; eval_data: string } {
  const pathOf = (part: string): string => join(dir, "setup", `${name}.${part}.jsonl`);
  return { train_data: pathOf("train"), eval_data: pathOf("eval") };
}

/** The same questions with what rewards are given: the names of all islands. */
function promptFiles(dir: string): { train_data: string; eval_data: string } {
  return setFiles(dir, "prompts");
}

/** What is generated. */
export interface GeneratedOptions {
  size: ToySize;
  /** How many SFT models: one for each training seed. */
  seeds: number;
  /** Models made at a time. */
  jobs: number;
  out: ProgressStream;
  signal?: AbortSignal | undefined;
}

/**
 * Writes the quick start's data and trains an SFT model for each training seed, unless they are there. The models differ
 * in their random start and in the order of the rows: so the seeds of a study also stand for other starting weights.
 *
 * @returns the values that name data and model, by seed from 1
 */
export async function generateSetup(
  dir: string,
  { size, seeds, jobs, out, signal }: GeneratedOptions,
): Promise<(seed: number) => ConfigValues> {
  const pathOf = (name: string): string => join(dir, "setup", name);
  const data = makeData({ ...size.data, seed: dataSeed });
  if (!existsSync(pathOf("data.json"))) writeGenerated(dir, data);
  const missing = Array.from({ length: seeds }, (_, i) => i + 1).filter(
    (seed) => !existsSync(pathOf(`made-${seed}.json`)),
  );
  const many = missing.length === 1 ? "an SFT model" : `${missing.length} SFT models, ${jobs} at a time`;
  if (missing.length > 0) out.write(`first ${many}, half a minute each on two cores\n`);
  const worker = async (): Promise<void> => {
    for (let seed = missing.shift(); seed !== undefined; seed = missing.shift()) {
      if (signal?.aborted === true) return;
      const sft = pathOf(`sft-${seed}`);
      remove(sft);
      const values = {
        ...size.sft,
        output_dir: sft,
        objective: "sft",
        seed: deriveSeed(dataSeed, 2 + seed) % 2 ** 31,
        model_name_or_path: pathOf(`base-${seed}`),
        train_data: pathOf("sft.jsonl"),
      };
      const base = { shape: size.shape, text: tokenizerText(data) };
      const heldOut = pathOf("eval.jsonl");
      const task = { config: { values }, base, heldOut, answersPerPrompt: 1 };
      // several at once: whole lines, nothing that is drawn over
      await runToyStage(`SFT model ${seed}`, task, { write: (text) => out.write(text) }, signal);
      writeFileAtomic(pathOf(`made-${seed}.json`), `${JSON.stringify({ seed: values.seed })}\n`);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(jobs, missing.length)) }, worker)).catch(
    (error: unknown) => {
      // a model that was stopped in the making failed for that reason alone
      if (signal?.aborted !== true) throw error;
    },
  );
  if (signal?.aborted === true) {
    throw new StudyStoppedError("stopped while SFT models were made: no run has begun");
  }
  return (seed) => generatedValues(dir, seed);
}

/** The values that name generated data and the SFT model of a seed, made or not. */
function generatedValues(dir: string, seed: number): ConfigValues {
  const pathOf = (name: string): string => join(dir, "setup", name);
  return {
    ...{ train_data: pathOf("train.jsonl"), eval_data: pathOf("eval.jsonl") },
    model_name_or_path: join(pathOf(`sft-${seed}`), "model"),
  };
}

function writeGenerated(dir: string, data: ToyData): void {
  const pathOf = (name: string): string => join(dir, "setup", name);
  makeDirectory(pathOf(""));
  writeToyData(pathOf(""), data);
  for (const name of ["form", "content"]) {
    const own = (rows: readonly PreferenceRow[]): string =>
      jsonLines(rows.filter(({ flaw }) => formFlaws.has(flaw) === (name === "form")));
    const { train_data, eval_data } = setFiles(dir, name);
    writeFileAtomic(train_data, own(data.train));
    writeFileAtomic(eval_data, own(data.evaluation));
  }
  const islands = data.world.map(({ name }) => name);
  const prompts = promptFiles(dir);
  writeFileAtomic(prompts.train_data, jsonLines(data.train.map((row) => ({ ...row, islands }))));
  writeFileAtomic(prompts.eval_data, jsonLines(data.evaluation.map((row) => ({ ...row, islands }))));
  writeFileAtomic(pathOf("data.json"), `${JSON.stringify({ seed: dataSeed })}\n`);
}

/** Of the generated data: the quick start's own. */
const dataSeed = 1;
