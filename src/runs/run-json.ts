/** `run.json`: the configuration of a run and where each value came from, as data. */
import { FormatError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { readSealed, sealed } from "../base/sealed.ts";
import { configOf, fieldOf, flatConfig, keysOf } from "../config/keys.ts";
import { ownDefault } from "../config/method-keys.ts";
import type { ConfigKey, RunConfig } from "../config/run-config.ts";
import { type MethodName, methodNames } from "../methods/index.ts";

const FORMAT = "preftune run";
const VERSION = 2;
/** The oldest that is read. */
const OLDEST = 1;

/** A run's configuration. */
export interface RunJson {
  config: RunConfig;
  /** Where each value came from, in words. */
  provenance: Partial<Record<ConfigKey, string>>;
}

/** Writes `run.json` at `path`. */
export function saveRunJson(path: string, run: { config: RunConfig; provenance: object }): void {
  const { config, provenance } = run;
  const saved = { format: FORMAT, version: VERSION, config: flatConfig(config), provenance };
  writeFileAtomic(path, sealed(JSON.stringify(saved, null, 2)));
}

/**
 * The `run.json` at `path`.
 *
 * @throws {FileError} when it cannot be read
 * @throws {FormatError} when it has changed since it was written, or is none
 */
export function readRunJson(path: string): RunJson {
  const value = readSealed(path);
  const version = Number(value["version"]);
  if (value["format"] !== FORMAT || !(version >= OLDEST && version <= VERSION)) {
    throw new FormatError(
      `${path}: expected a run of version ${OLDEST} to ${VERSION}, got ${JSON.stringify(value["format"] ?? null)} version ${JSON.stringify(value["version"] ?? null)}.`,
    );
  }
  const saved = (value["config"] ?? {}) as Record<string, unknown>;
  const { objective } = saved as { objective?: MethodName };
  const known = objective !== undefined && methodNames.includes(objective) ? objective : undefined;
  const keys = keysOf(known ?? (savedValue(path, "objective", saved) as MethodName));
  const config = Object.fromEntries(keys.map((key) => [key, savedValue(path, key, saved, known)]));
  return {
    config: withWeights(withWarmup(configOf(config)), version),
    provenance: (value["provenance"] ?? {}) as RunJson["provenance"],
  };
}

/** In runs from before `constant_with_warmup` that was what `constant` meant. */
function withWarmup(config: RunConfig): RunConfig {
  const { lr_scheduler_type: type, warmup_ratio, warmup_steps } = config;
  const isOlder = type === "constant" && (warmup_ratio > 0 || warmup_steps > 0);
  return isOlder ? { ...config, lr_scheduler_type: "constant_with_warmup" } : config;
}

/** In version 1 a weight of 1 in all sources meant that none has one: all their rows are used. */
function withWeights(config: RunConfig, version: number): RunConfig {
  if (version > 1) return config;
  const read = (specs: RunConfig["train_data"]) =>
    specs.every(({ weight }) => weight === 1) ? specs.map((spec) => ({ ...spec, weight: null })) : specs;
  const { train_data, eval_data } = config;
  return { ...config, train_data: read(train_data), eval_data: eval_data === null ? null : read(eval_data) };
}

/** A key that is younger than the run has its default. */
function savedValue(
  path: string,
  key: ConfigKey,
  saved: Readonly<Record<string, unknown>>,
  objective?: MethodName,
): unknown {
  const field = fieldOf(key, objective);
  const own = objective === undefined ? undefined : ownDefault(objective, key);
  const value = Object.hasOwn(saved, key) ? saved[key] : (field.default ?? own ?? null);
  if (value === null && field.rule !== undefined) return null;
  const checked = field.check(value);
  if (checked.success) return checked.data;
  throw new FormatError(
    `${path}: config.${key}: expected ${field.expected}. The file was changed or damaged.`,
  );
}
