/** What a study trains and on what: the quick start's data and SFT model, made in the study's folder, or the user's own. */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { deriveSeed } from "../base/random.ts";
import { jsonLines, makeData, type PreferenceRow, tokenizerText } from "../quickstart/data.ts";
import type { Flaw } from "../quickstart/flaws.ts";
import { fullSize, type QuickstartSize } from "../quickstart/sizes.ts";
import { runInProcess } from "../quickstart/stage-process.ts";
import type { ProgressStream } from "../runs/progress.ts";
import type { Values } from "./cell.ts";

/** How much a study does. */
export type Budget = "quick" | "full";

/** What the user brings. */
export interface GroundOptions {
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
  out: ProgressStream;
}

/** One of two preference sets, as values of a configuration. */
export interface PairSet {
  name: string;
  values: Values;
}

/** What every run of a study shares. */
export interface Ground {
  file: string | null;
  values: Values;
  /** For studies that look at what the models answer: the run's own watch samples it. */
  watch: Values;
  /** Two preference sets, for the study that compares such; empty where there is only one. */
  sets: readonly PairSet[];
  /** Runs at a time. */
  jobs: number;
  /** A sentence for the report. */
  said: string;
}

const recipes: string = join(import.meta.dirname, "../../recipes");

/** Rows and answers looked at on the quick start's data. */
const generated: Record<Budget, Values> = { quick: { max_train_rows: 800 }, full: {} };
/** The same on data of one's own. */
const brought: Record<Budget, Values> = {
  quick: { max_train_rows: 192, max_eval_rows: 64 },
  full: { max_train_rows: null },
};
const answered: Record<Budget, Values> = {
  quick: { watch_prompts: "eval", watch_rows: 32, watch_samples: 4, watch_max_new_tokens: 64 },
  full: { watch_prompts: "eval", watch_rows: 64, watch_samples: 4, watch_max_new_tokens: 128 },
};

/** The ground of a study in the folder `dir`. */
export async function makeGround(dir: string, options: GroundOptions): Promise<Ground> {
  const { config, model, data } = options;
  if (config === null && model === null && data === null) {
    const values = await generatedGround(dir, fullSize, options.out);
    return {
      file: join(recipes, "quickstart.yaml"),
      values: { ...values, ...generated[options.budget] },
      watch: answered[options.budget],
      sets: ["form", "content"].map((name) => ({ name, values: setFiles(dir, name) })),
      jobs: options.jobs ?? options.cores,
      said: "On the quick start's generated data and its SFT model of half a million weights, trained in full.",
    };
  }
  return ownGround(options);
}

function ownGround(options: GroundOptions): Ground {
  const { config, model, data, evalData, budget, jobs, cores } = options;
  if (config === null && (model === null || data === null || evalData === null)) {
    throw new ConfigError(
      "expected --model DIR, --data FILE and --eval-data FILE together, or a configuration that names them with --config; " +
        "without any of them a study makes its own data and model.",
    );
  }
  const atOnce = jobs ?? 1;
  return {
    file: config ?? join(recipes, "smollm2-135m.yaml"),
    values: {
      // pairs of different runs can only be compared when they are the same: rows of their own, not a split by seed
      eval_fraction: 0,
      ...(model === null ? {} : { model_name_or_path: model }),
      ...(data === null ? {} : { train_data: data }),
      ...(evalData === null ? {} : { eval_data: evalData }),
      ...(config === null ? brought[budget] : {}),
      ...(atOnce === 1 ? {} : { threads: Math.max(1, Math.floor(cores / atOnce)) }),
    },
    watch: answered[budget],
    sets: ownSets(options),
    jobs: atOnce,
    said:
      config === null
        ? `On ${data} and ${model}, with LoRA as in recipes/smollm2-135m.yaml.`
        : `As ${config} says.`,
  };
}

function ownSets({ data, evalData, otherData, otherEvalData }: GroundOptions): PairSet[] {
  if (data === null || evalData === null || otherData === null || otherEvalData === null) return [];
  return [
    { name: basename(data).replace(/\..*$/, ""), values: { train_data: data, eval_data: evalData } },
    {
      name: basename(otherData).replace(/\..*$/, ""),
      values: { train_data: otherData, eval_data: otherEvalData },
    },
  ];
}

/** Flaws of form; the others are of content. The quick start's pairs are two preference sets by them. */
const formFlaws: ReadonlySet<Flaw> = new Set(["one line", "no number", "no end", "repeated"]);

function setFiles(dir: string, name: string): { train_data: string; eval_data: string } {
  const place = (part: string): string => join(dir, "ground", `${name}.${part}.jsonl`);
  return { train_data: place("train"), eval_data: place("eval") };
}

/**
 * Writes the quick start's data and trains its SFT model, unless they are there.
 *
 * @returns the values that name them
 */
export async function generatedGround(
  dir: string,
  size: QuickstartSize,
  out: ProgressStream,
): Promise<Values> {
  const place = (name: string): string => join(dir, "ground", name);
  const sft = place("sft");
  const model = join(sft, "model");
  const files = { train_data: place("train.jsonl"), eval_data: place("eval.jsonl"), sft: place("sft.jsonl") };
  const mark = place("made.json");
  if (!existsSync(mark)) {
    rmSync(sft, { recursive: true, force: true });
    mkdirSync(place(""), { recursive: true });
    const data = makeData({ ...size.data, seed });
    writeFileAtomic(files.train_data, jsonLines(data.train));
    writeFileAtomic(files.eval_data, jsonLines(data.evaluation));
    writeFileAtomic(files.sft, jsonLines(data.sft));
    for (const name of ["form", "content"]) {
      const own = (rows: readonly PreferenceRow[]): string =>
        jsonLines(rows.filter(({ flaw }) => formFlaws.has(flaw) === (name === "form")));
      const { train_data, eval_data } = setFiles(dir, name);
      writeFileAtomic(train_data, own(data.train));
      writeFileAtomic(eval_data, own(data.evaluation));
    }
    const values = {
      ...size.sft,
      output_dir: sft,
      objective: "sft",
      seed: deriveSeed(seed, 3) % 2 ** 31,
      model_name_or_path: place("base"),
      train_data: files.sft,
    };
    const base = { shape: size.shape, text: tokenizerText(data) };
    const task = { config: { values }, base, heldOut: files.eval_data, answersPerPrompt: 1 };
    await runInProcess("SFT model", task, out);
    writeFileAtomic(mark, `${JSON.stringify({ seed })}\n`);
  }
  return { model_name_or_path: model, train_data: files.train_data, eval_data: files.eval_data };
}

/** Of the generated data and the SFT model: the quick start's own. */
const seed = 1;
