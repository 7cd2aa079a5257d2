/** Writes model, rows and configuration of a planned run, so that it can be planned and trained. */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { Random } from "../../src/base/random.ts";
import { parseModelConfig } from "../../src/formats/hf-config.ts";
import { buildModel } from "../../src/models/build.ts";
import { loadRewardModel } from "../../src/models/load-reward-model.ts";
import { writeMergedModel } from "../../src/models/save.ts";
import { randomWeights } from "../../src/models/weights.ts";
import { manualSeed, scope } from "../../src/torch/index.ts";
import { chatMl } from "../../src/toy/toy-tokenizer.ts";
import { neutralNorm } from "../support/patterned.ts";
import { toyFiles } from "../support/toy-tokenizer.ts";
import type { PlannedRun } from "./planned-runs.ts";

/** Writes model, rows and configuration of a run into `dir` and gives the configuration's path. */
export function writePlannedRun(
  dir: string,
  { model, run, rows, longest, isScored = false }: PlannedRun,
): string {
  const base = join(dir, "model");
  mkdirSync(base, { recursive: true });
  writeModel(base, model);
  const data = join(dir, "rows.jsonl");
  writeFileSync(
    data,
    ("num_generations" in run ? textRows(rows, longest[0]) : tokenRows(rows, longest))
      .map((row) => `${JSON.stringify(row)}\n`)
      .join(""),
  );
  const rewardModel = join(dir, "reward-model");
  if (isScored) writeRewardModel(base, rewardModel);
  const config = {
    ...(isScored ? { reward_model: rewardModel } : {}),
    model_name_or_path: base,
    train_data: data,
    output_dir: join(dir, "run"),
    device: "cpu",
    dtype: "float32",
    threads: 1,
    max_length: 2048,
    save_strategy: "no",
    ...run,
  };
  const file = join(dir, "run.yaml");
  writeFileSync(file, stringify(config));
  return file;
}

function writeModel(dir: string, values: Record<string, unknown>): void {
  using _ = scope();
  const config = parseModelConfig(values, "config.json");
  manualSeed(0);
  writeMergedModel(dir, buildModel(config, randomWeights(0.02, neutralNorm(config))), config.dtype);
  writeFileSync(join(dir, "config.json"), JSON.stringify(values));
  const files = toyFiles({ chatTemplate: chatMl });
  writeFileSync(join(dir, "tokenizer.json"), JSON.stringify(files.tokenizer));
  writeFileSync(join(dir, "tokenizer_config.json"), JSON.stringify(files.config));
}

/** The layers of the model in `base` under a random score layer, with its tokenizer. */
function writeRewardModel(base: string, dir: string): void {
  using _ = scope();
  mkdirSync(dir, { recursive: true });
  writeMergedModel(dir, loadRewardModel(base, { newScore: "normal", padTokenId: null }), "float32");
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) cpSync(join(base, name), join(dir, name));
}

/** Prompts of so many bytes, which are a token each but for some merged ones. */
function textRows(count: number, bytes: number): { prompt: string }[] {
  const random = new Random(5);
  const letter = () => String.fromCharCode(97 + random.below(26));
  return Array.from({ length: count }, () => ({ prompt: Array.from({ length: bytes }, letter).join("") }));
}

/** Pairs of token ids of different lengths, one of them the longest. */
function tokenRows(count: number, [prompt, answer]: [number, number]): Record<string, number[]>[] {
  const random = new Random(5);
  const ids = (n: number): number[] => Array.from({ length: n }, () => 3 + random.below(250));
  const length = (longest: number, i: number) =>
    i === 0 ? longest : Math.ceil(longest * (0.5 + random.next() / 2));
  return Array.from({ length: count }, (_, i) => ({
    prompt_ids: ids(length(prompt, i)),
    chosen_ids: [...ids(length(answer, i) - 1), 2],
    rejected_ids: [...ids(length(answer, i) - 1), 2],
  }));
}
