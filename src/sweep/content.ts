/** What a run trains and measures by its content: names of files and directories say nothing of what was edited in them. */
import fs, { existsSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { sha256, sha256FileOnce } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { isFolder, statsOf } from "../base/open-file.ts";
import { earlierRows, earlierSources, earlierThresholds, isLaterDefault } from "../config/earlier-values.ts";
import type { FlatConfig } from "../config/keys.ts";
import { moduleFunctionOf } from "../config/reward-specs.ts";
import type { RunConfig } from "../config/run-config.ts";
import { isGlob } from "../data/sources.ts";
import { modelFingerprint } from "../formats/model-fingerprint.ts";
import { cachedModel } from "../hub/hub-model.ts";

/**
 * The same for two runs that train and measure the same, however they are named and whether a value comes from a preset
 * or was given: a digest of the resolved configuration without its place, files of rows by what is in them. Held-out rows keep their path
 * besides, by which pairs are matched; so do models and other files, which count by their content as well.
 */
export function contentKey(config: RunConfig, extra: string | null): string {
  const { output_dir, resume_from_checkpoint, method, ...common } = config;
  const { preset, ...own } = { preset: null, ...method };
  // the values of a preset are filled in; of its name only this decides more
  const isCompat = preset === "reference-compat";
  const { train_data, eval_data, drift_data, lora_dropout, disable_dropout } = common;
  const rows = {
    train_data: earlierSources(train_data, ({ path, ...rest }) => ({ ...rest, rows: contentOf(path) })),
    eval_data:
      eval_data === null
        ? []
        : earlierSources(eval_data, (source) => ({ ...source, rows: contentOf(source.path) })),
    drift_data: drift_data === null ? null : contentOf(drift_data),
  };
  const read = readBeside(config).map(contentOf);
  const earlier = {
    watch_thresholds: earlierThresholds(config),
    ...(disable_dropout && lora_dropout === null ? { lora_dropout: 0.05 } : {}),
  };
  const all = Object.entries({ ...common, ...own, ...rows, ...earlier, read, isCompat, extra });
  return sha256(
    stringifyNumbers(Object.fromEntries(all.filter(([key, value]) => !isLaterDefault(key, value)))),
  );
}

/** What a run reads, by the name that the configuration has for it: see {@link contentOf}. */
export function contentsOf(config: RunConfig): Record<string, string> {
  const names = [...rowsOf(config), config.drift_data, ...readBeside(config)].filter((name) => name !== null);
  return Object.fromEntries(names.map((name) => [name, contentOf(name)]));
}

/** The names in `saved` of what is another now. What was not here then, or is not now, is known by its name alone. */
export function changedContents(
  saved: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): string[] {
  const isOther = ([name, content]: [string, string]): boolean => {
    const found = now[name] ?? name;
    return content !== name && found !== name && found !== content;
  };
  return Object.entries(saved)
    .filter(isOther)
    .map(([name]) => name);
}

/** What decides how the model that a run begins with scores the held-out pairs. */
export const startKeys: readonly Exclude<keyof RunConfig, "method">[] = [
  "model_name_or_path",
  "adapter_name_or_path",
  "use_peft",
  "train_data",
  "eval_data",
  "eval_fraction",
  "columns",
  "max_train_rows",
  "max_eval_rows",
  "max_length",
  "overflow",
  "invalid_rows",
  "plain_strings",
  "dtype",
  "device",
  "chat_template",
  "enable_thinking",
  "mask_tool_output",
  "per_device_eval_batch_size",
  "threads",
  "load_in_4bit",
  "load_in_8bit",
  "bnb_4bit_quant_type",
  "bnb_4bit_use_double_quant",
  "llm_int8_skip_modules",
];

/** A digest of {@link startKeys}, files by what is in them. */
export function startKey(config: RunConfig): string {
  const { model_name_or_path, adapter_name_or_path, chat_template } = config;
  const places = [model_name_or_path, adapter_name_or_path, chat_template, ...rowsOf(config)];
  const contents = places.map((place) => (place === null ? null : contentOf(place)));
  const values: FlatConfig = { ...config, ...earlierRows(config) };
  // left out where it says nothing: so keys of earlier versions stay
  const rated = config.rating_threshold === null ? [] : [config.rating_threshold];
  return sha256(stringifyNumbers([startKeys.map((key) => values[key]), contents, ...rated]));
}

function rowsOf({ train_data, eval_data }: RunConfig): string[] {
  return [...train_data, ...(eval_data ?? [])].map(({ path }) => path);
}

/** What a run reads besides its rows: models, adapters, reward functions, a template, prompts. */
function readBeside(config: RunConfig): string[] {
  const { method, reward_funcs, eval_reward_funcs } = config;
  const functions = [...(reward_funcs ?? []), ...(eval_reward_funcs ?? [])];
  const places = [
    ...[config.model_name_or_path, config.adapter_name_or_path, config.reward_model],
    ...[config.chat_template, config.watch_prompts],
    "value_model_name_or_path" in method ? method.value_model_name_or_path : null,
    ...functions.map((spec) => moduleFunctionOf(spec)?.file ?? null),
  ];
  return places.filter((place) => place !== null);
}

/**
 * The SHA-256 of a file's contents, or of what a directory holds or a glob finds; of the hub id of a model that was fetched the commit
 * that it stands for; else the name itself.
 */
export function contentOf(name: string): string {
  const found = statsOf(name);
  // a grid asks for the same ones for each of its runs
  if (found?.isFile() === true) return sha256FileOnce(name);
  if (found?.isDirectory() === true) return directoryDigest(name);
  if (isGlob(name)) {
    const files = fs.globSync(name).filter((path) => !isFolder(path));
    if (files.length > 0)
      return sha256(stringifyNumbers(files.sort().map((path) => [path, contentOf(path)])));
  }
  return cachedModel(name) ?? name;
}

/** Larger files of weights are read in samples, as a run's fingerprint of its model is. */
const wholeBytes = 64 * 1024 * 1024;

function directoryDigest(dir: string): string {
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true });
  const files = entries
    .map(({ parentPath, name }) => join(parentPath, name))
    // hidden ones are no rows and no weights
    .filter((path) => !/(?:^|[\\/])\./.test(relative(dir, path)) && !isFolder(path));
  const isModel = existsSync(join(dir, "config.json"));
  const isSampled = (path: string): boolean =>
    isModel && path.endsWith(".safetensors") && (statsOf(path)?.size ?? 0) > wholeBytes;
  const whole = files.sort().filter((path) => !isSampled(path));
  const sampled = whole.length < files.length ? modelFingerprint(dir) : null;
  return sha256(stringifyNumbers([sampled, whole.map((path) => [relative(dir, path), contentOf(path)])]));
}
