/** What a run trains and measures by its content: names of files and directories say nothing of what was edited in them. */
import fs, { existsSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { sha256, sha256File } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { isFolder, statsOf } from "../base/open-file.ts";
import { moduleFunctionOf } from "../config/reward-specs.ts";
import type { RunConfig } from "../config/run-config.ts";
import { cachedModel } from "../hub/hub-model.ts";
import { modelFingerprint } from "../train/model-fingerprint.ts";

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
  const { train_data, eval_data, drift_data } = common;
  const rows = {
    train_data: train_data.map(({ path, ...rest }) => ({ ...rest, rows: contentOf(path) })),
    eval_data: (eval_data ?? []).map((source) => ({ ...source, rows: contentOf(source.path) })),
    drift_data: drift_data === null ? null : contentOf(drift_data),
  };
  const read = readBeside(config).map(contentOf);
  return sha256(stringifyNumbers({ ...common, ...own, ...rows, read, isCompat, extra }));
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

/** Digests of files, by path, size and time: a grid asks for the same ones for each of its runs. */
const digests: Map<string, string> = new Map();

/**
 * The SHA-256 of a file's contents, or of what a directory holds or a glob finds; of the hub id of a model that was fetched the commit
 * that it stands for; else the name itself.
 */
export function contentOf(name: string): string {
  const found = statsOf(name);
  if (found?.isFile() === true)
    return known(`${name} ${found.size} ${found.mtimeMs}`, () => sha256File(name));
  if (found?.isDirectory() === true) return directoryDigest(name);
  if (/[*?[{]/.test(name)) {
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

function known(key: string, digest: () => string): string {
  const value = digests.get(key) ?? digest();
  digests.set(key, value);
  return value;
}
