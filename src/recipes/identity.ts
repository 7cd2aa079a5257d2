/** What a run was computed from: fingerprints, and the date its templates take as today. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { codeVersion } from "../base/code-version.ts";
import { TrainingError } from "../base/errors.ts";
import { sha256, sha256File } from "../base/files.ts";
import { alone, onFirst, type Together } from "../base/ranks.ts";
import { readSealed } from "../base/sealed.ts";
import type { RunConfig } from "../config/run-config.ts";
import { adapterConfigName, adapterWeightsName, isAdapter } from "../formats/adapter.ts";
import { modelFingerprint } from "../formats/model-fingerprint.ts";
import type { Environment } from "../forward/environment.ts";
import { baseOf } from "../online/reward-model.ts";
import { valueModelBase } from "../online/value-model.ts";
import {
  changedFingerprints,
  type Fingerprints,
  type OpenRun,
  readFingerprints,
} from "../runs/run-directory.ts";
import type { MatmulLibrary } from "../setup/matmul-choice.ts";
import { torchVersion } from "../torch/index.ts";
import type { PreparedData } from "../train/prepare-data.ts";

const dayMs = 86_400_000;

/** The date templates write, the same on all ranks: fixed when the run begins, so that a run resumed on another day tokenises alike. */
export function templateDate(group: Together | null, run: Pick<OpenRun, "paths" | "saveSealed">): Date {
  return new Date(onFirst(group ?? alone, () => settledDate(run).toISOString()));
}

/** What the templates of a run in `dir` take as today; nothing where it has not kept that. */
export function dateOfRun(dir: string): { now?: Date } {
  const path = datePath(dir);
  return existsSync(path) ? { now: new Date(readSealed(path)["date"] as string) } : {};
}

function datePath(dir: string): string {
  return join(dir, "template-date.json");
}

function settledDate(run: Pick<OpenRun, "paths" | "saveSealed">): Date {
  const path = datePath(run.paths.dir);
  const { now } = dateOfRun(run.paths.dir);
  if (now !== undefined) return now;
  const today = new Date(Math.floor(Date.now() / dayMs) * dayMs);
  run.saveSealed(path, { date: today.toISOString() });
  return today;
}

/** The library of matrix products that a resumed run began with; null for a new run. */
export function resumedMatmul(run: Pick<OpenRun, "paths">, config: RunConfig): MatmulLibrary | null {
  const { fingerprints: path } = run.paths;
  if (config.resume_from_checkpoint === null || !existsSync(path)) return null;
  const { matmul } = readFingerprints(path);
  return matmul === "torch" || matmul === "onednn" ? matmul : null;
}

/**
 * What the run is computed from.
 *
 * @param files - digests of the files that rows were read from, and of those of reward functions, null in a run without
 */
export function fingerprintsOf(
  config: RunConfig & { baseModel: string },
  data: PreparedData,
  environment: Environment,
  files: { data: Record<string, string>; rewards: Record<string, string> | null },
): Fingerprints {
  const valueBase = valueModelBase(config);
  const { reward_model, adapter_name_or_path: adapter } = config;
  return {
    data: { rows: data.dataset.fingerprint, ...files.data },
    ...(files.rewards === null ? {} : { reward_files: files.rewards }),
    template: data.textFingerprint,
    tokenizer: data.tokenizer.fingerprint,
    model: modelFingerprint(config.model_name_or_path),
    ...(adapter === null ? {} : { adapter: adapterFingerprint(adapter) }),
    ...(valueBase === null ? {} : { value_model: modelFingerprint(valueBase) }),
    ...(reward_model === null ? {} : { reward_model: rewardModelFingerprint(reward_model) }),
    code_version: codeVersion(),
    torch_version: torchVersion(),
    ...environment,
  };
}

/** That of an adapter's settings and weights. What lacks one of them is refused when it is read. */
function adapterFingerprint(dir: string): string {
  const paths = [adapterConfigName, adapterWeightsName].map((name) => join(dir, name));
  return sha256(paths.map((path) => (existsSync(path) ? sha256File(path) : "")).join());
}

/** That of the reward model in `dir`, or of an adapter's with that of its base. */
function rewardModelFingerprint(dir: string): string {
  if (!isAdapter(dir)) return modelFingerprint(dir);
  return sha256(sha256File(join(dir, adapterWeightsName)) + modelFingerprint(baseOf(dir)));
}

/**
 * What differs from the fingerprints that the run began with, in words.
 *
 * @throws {TrainingError} if a resumed run finds another model or other rows
 */
export function changesSince(
  run: Pick<OpenRun, "paths">,
  config: RunConfig,
  fingerprints: Fingerprints,
): string[] {
  const { fingerprints: path } = run.paths;
  if (!existsSync(path)) return [];
  const saved = readFingerprints(path);
  if (config.resume_from_checkpoint !== null) refuseOther(run, saved, fingerprints);
  return changedFingerprints(saved, fingerprints);
}

/** Another model or other rows would silently make it another run. */
function refuseOther(run: Pick<OpenRun, "paths">, saved: Fingerprints, now: Fingerprints): void {
  const changed = [
    ...(saved.model === now.model ? [] : ["the weights or config.json of model_name_or_path"]),
    ...(saved.adapter === undefined || saved.adapter === now.adapter
      ? []
      : ["the weights or adapter_config.json of adapter_name_or_path"]),
    ...(saved.value_model === now.value_model
      ? []
      : ["the weights below the adapter of value_model_name_or_path"]),
    ...(saved.data["rows"] === now.data["rows"] ? [] : ["the rows, the tokenizer or the template"]),
  ];
  if (changed.length === 0) return;
  throw new TrainingError(
    `The run in ${run.paths.dir} began with something else: ${changed.join(", and ")} changed since. ` +
      "Put it back, or start a new run in another output_dir.",
  );
}
