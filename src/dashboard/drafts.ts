/** From a form to a configuration: a recipe, a run or nothing, and the values that were changed, read as on a command line. */
import fs, { existsSync, realpathSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { ConfigError, PreftuneError } from "../base/errors.ts";
import { CONFIG_KEYS, defaultText, FIELD_GROUPS, fieldOf, flatConfig } from "../config/keys.ts";
import { loadConfig, type ResolvedConfig } from "../config/load-config.ts";
import { isForeign } from "../config/method-keys.ts";
import { valueText } from "../config/print-config.ts";
import type { ConfigKey } from "../config/run-config.ts";
import { methodNames } from "../methods/index.ts";
import { isRun, runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import { isBelow } from "./is-below.ts";
import { PageError } from "./page-error.ts";

/** A field of the form. */
export interface FormField {
  key: string;
  doc: string;
  /** What it accepts, to follow "expected". */
  expected: string;
  /** What it is where it is left out, as text. */
  default: string;
  /** Who else has this default. */
  source: string;
  /** What it can be, where that is a short list. */
  choices: readonly string[] | null;
  /** Objectives whose runs have it. */
  objectives: readonly string[];
}

/** The form: every key of a configuration under its heading. */
export function formFields(): { title: string; fields: FormField[] }[] {
  return FIELD_GROUPS.map(({ title, keys }) => ({ title, fields: keys.map(fieldOfForm) }));
}

function fieldOfForm(key: ConfigKey): FormField {
  const field = fieldOf(key);
  const { type, enum: values } = field.schema as { type?: unknown; enum?: readonly unknown[] };
  const choices = type === "boolean" ? ["true", "false"] : (values?.map(String) ?? null);
  return {
    ...{
      key,
      doc: field.doc,
      expected: field.expected,
      default: defaultText(field),
      source: field.source,
      choices,
    },
    objectives: methodNames.filter((name) => !isForeign(name, key)),
  };
}

const recipes = join(import.meta.dirname, "..", "..", "recipes");

/** The recipes by name, each with its first line. */
export function recipeNames(): string[] {
  return fs
    .globSync("*.yaml", { cwd: recipes })
    .map((file) => basename(file, ".yaml"))
    .sort();
}

/** The values that a base gives, as text; those that it leaves to defaults are not among them. */
export function baseValues(base: { recipe: string } | { dir: string }): Record<string, string> {
  if ("recipe" in base) {
    if (!recipeNames().includes(base.recipe))
      throw new PageError(404, `There is no recipe "${base.recipe}".`);
    return given(checked(() => loadConfig({ file: join(recipes, `${base.recipe}.yaml`) })));
  }
  const { config, provenance } = readRunJson(runPaths(base.dir).runJson);
  const values = Object.entries(flatConfig(config)) as [ConfigKey, unknown][];
  return Object.fromEntries(
    values // a copy of a run that was resumed is a new one
      .filter(([key]) => isGiven(provenance[key]) && key !== "resume_from_checkpoint")
      .map(([key, value]) => [key, valueText(key, value)]),
  );
}

function given({ config, provenance }: ResolvedConfig): Record<string, string> {
  const values = Object.entries(flatConfig(config)) as [ConfigKey, unknown][];
  const shown = values.filter(([key]) => ["file", "command line"].includes(provenance[key]?.kind ?? ""));
  return Object.fromEntries(shown.map(([key, value]) => [key, valueText(key, value)]));
}

/** A configuration that can be started. */
export interface Draft {
  resolved: ResolvedConfig;
  yaml: string;
  /** Real path where the run will lie. */
  outputDir: string;
}

/**
 * The configuration of these values.
 *
 * @param values - text by key, as on a command line
 * @param roots - directories that output_dir may lie in
 * @throws {PageError} naming every wrong value, and for an output_dir that lies elsewhere or holds a run
 */
export function draftOf(
  values: Readonly<Record<string, string>>,
  roots: readonly string[],
  cwd: string,
): Draft {
  const unknown = Object.keys(values).find((key) => !(CONFIG_KEYS as readonly string[]).includes(key));
  if (unknown !== undefined) throw new PageError(422, `"${unknown}" is no key of a configuration.`);
  const resolved = checked(() => loadConfig({ overrides: Object.entries(values) }));
  const outputDir = outputPlace(resolved.config.output_dir, roots, cwd);
  if (isRun(outputDir)) {
    throw new PageError(
      422,
      `output_dir: ${resolved.config.output_dir} holds a run already. Choose another folder.`,
    );
  }
  return { resolved, yaml: givenYaml(resolved), outputDir };
}

/** The real path of an output_dir. @throws {PageError} where it is not below one of `roots` */
export function outputPlace(given: string, roots: readonly string[], cwd: string): string {
  const dir = placeOf(resolve(cwd, given));
  if (roots.some((root) => isBelow(root, dir))) return dir;
  throw new PageError(
    422,
    `output_dir: expected a folder below one that the dashboard shows (${roots.map((root) => relative(cwd, root) || ".").join(", ")}), got ${given}.`,
  );
}

/** Whether a value of a run was given, by what run.json says of its source. */
function isGiven(from: string = "default"): boolean {
  return !/^(default$|preset |derived )/.test(from);
}

/** The values that were given, as a file: the rest stays what its default is, and is known for one. */
function givenYaml(resolved: ResolvedConfig): string {
  const values = Object.entries(given(resolved));
  return `${values.map(([key, text]) => `${key}: ${text}`).join("\n")}\n`;
}

function checked(load: () => ResolvedConfig): ResolvedConfig {
  try {
    return load();
  } catch (error) {
    if (error instanceof PreftuneError) throw new PageError(422, error.message);
    throw error;
  }
}

/** The real path of a folder that need not be there yet: links above it are followed. */
export function placeOf(dir: string): string {
  if (existsSync(dir)) return realpathSync(dir);
  const parent = dirname(dir);
  return parent === dir ? dir : join(placeOf(parent), basename(dir));
}

/**
 * The path by which a run at `dir` is resumed from `cwd`.
 *
 * @throws {ConfigError} where its configuration, read from there, means another folder
 */
export function resumableConfig(dir: string, cwd: string): string {
  const { configYaml, runJson } = runPaths(dir);
  const { config } = readRunJson(runJson);
  if (placeOf(resolve(cwd, config.output_dir)) === dir) return configYaml;
  throw new ConfigError(
    "The run was started in another folder, from which its configuration names its paths: start the dashboard there to resume it.",
  );
}
