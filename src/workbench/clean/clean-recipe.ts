/** The recipe of a cleaning: which rows, by which filters in which order, and where what is left goes. */
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { ConfigError } from "../../base/errors.ts";
import { didYouMean } from "../../base/suggest.ts";
import { type ColumnMapping, datasets, sourcePath } from "../../config/datasets.ts";
import { type Given, givenByYaml, gotText, readConfigText } from "../../config/given.ts";
import { defaultsOf, fieldOf } from "../../config/keys.ts";
import type { RunConfig } from "../../config/run-config.ts";
import { describeFindings } from "../../data/findings.ts";
import { type FilterKind, filterKinds } from "./filters.ts";

/** A filter with its options. */
export interface CleanFilter {
  kind: FilterKind;
  options: Record<string, unknown>;
}

/** A file, folder, glob or data set of the hub, as `DataSource.path` names it, with the names of its columns. */
export interface CleanSource {
  path: string;
  /** Null: by their usual names. */
  columns: ColumnMapping | null;
}

/** Keys that mean in a recipe what they mean in a run's configuration, by default too. */
const runKeys = [
  "columns",
  "plain_strings",
  "max_length",
  "chat_template",
  "enable_thinking",
  "mask_tool_output",
] as const;

/** Those of them that say something of tokens alone. */
const tokenKeys: ReadonlySet<string> = new Set(runKeys.slice(2));

/** A recipe, checked. `columns`: those of `data`. */
export interface CleanRecipe extends Pick<RunConfig, (typeof runKeys)[number]> {
  data: readonly CleanSource[];
  eval_data: readonly CleanSource[];
  model_name_or_path: string | null;
  /** Keys that were given and need a model. */
  needsModel: readonly string[];
  filters: readonly CleanFilter[];
  /** The file of what is left; null: only a version. */
  output: string | null;
  /** The file of what was taken out. */
  removed: string | null;
  /** A workbench that keeps the result as a version; null: none does. */
  workbench: string | null;
}

/** What a key accepts. */
interface RecipeKey {
  expected: string;
  check: (value: unknown) => { success: boolean };
}

function key(schema: z.ZodType, expected: string): RecipeKey {
  return { expected, check: (value) => schema.safeParse(value) };
}

/** Keys of the file, and what each must be. */
const keys: Readonly<Record<string, RecipeKey>> = {
  data: key(datasets, "a file of rows or a list of them, or of objects with path and columns"),
  eval_data: key(datasets, "a file of held-out rows or a list of them, or of objects with path and columns"),
  model_name_or_path: key(z.string().min(1), "a model's directory or hub id"),
  filters: key(
    z.array(z.union([z.string(), z.record(z.string(), z.unknown())])).min(1),
    "a list of filters: codes, or one code each with its options",
  ),
  output: key(z.string().min(1), "the path of a .jsonl file"),
  removed: key(z.string().min(1), "the path of a .jsonl file"),
  workbench: key(z.string().min(1), "the directory of a workbench"),
  ...Object.fromEntries(runKeys.map((name) => [name, fieldOf(name)])),
};

/**
 * The recipe in the file at `path`.
 *
 * @throws {ConfigError} naming every unknown key, filter and option, with file and line
 */
export function readCleanRecipe(path: string): CleanRecipe {
  return parseCleanRecipe(readConfigText(path), path);
}

/** The recipe in YAML text; messages call it `file`. @throws {ConfigError} as {@link readCleanRecipe} */
export function parseCleanRecipe(text: string, file: string): CleanRecipe {
  const given = givenByYaml(text, file);
  const problems = given.flatMap((entry) => problemOf(entry) ?? []);
  const valueAt = (name: string): unknown => given.find((entry) => entry.key === name)?.value;
  for (const name of ["data", "filters"]) {
    if (valueAt(name) === undefined)
      problems.push(`${file}: ${name} is missing: expected ${keys[name]?.expected}.`);
  }
  if (valueAt("output") === undefined && valueAt("workbench") === undefined)
    problems.push(`${file}: expected output (a file) or workbench (a directory), got neither.`);
  const listed = given.find(({ key }) => key === "filters");
  const filters = listed === undefined || problems.length > 0 ? [] : filtersOf(listed, problems);
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
  const output = textOf(valueAt("output"));
  const own = given.filter((entry) => (runKeys as readonly string[]).includes(entry.key));
  const set = {
    ...defaultsOf(runKeys),
    ...(Object.fromEntries(own.map((entry) => [entry.key, entry.value])) as object),
  };
  const data = sourcesOf(valueAt("data"), set.columns);
  return {
    ...set,
    columns: oneMapping(data, file),
    data,
    eval_data: sourcesOf(valueAt("eval_data"), set.columns),
    model_name_or_path: textOf(valueAt("model_name_or_path")),
    needsModel: own.filter((entry) => tokenKeys.has(entry.key)).map((entry) => entry.key),
    filters,
    output,
    removed:
      textOf(valueAt("removed")) ??
      (output === null ? null : output.replace(/(\.jsonl)?$/, "-removed.jsonl")),
    workbench: textOf(valueAt("workbench")),
  };
}

function sourcesOf(value: unknown, shared: ColumnMapping | null): CleanSource[] {
  if (value === undefined) return [];
  return datasets.parse(value).map((spec) => ({ path: sourcePath(spec), columns: spec.columns ?? shared }));
}

/** The names of the columns of `data`. @throws {ConfigError} where files have different ones: what is left of them is one file */
function oneMapping([first, ...others]: readonly CleanSource[], file: string): ColumnMapping | null {
  const columns = first?.columns ?? null;
  const other = others.find((source) => !isDeepStrictEqual(source.columns, columns));
  if (other === undefined) return columns;
  throw new ConfigError(
    `${file}: data: expected the same columns in all files, since what is left becomes one, got others for ${other.path}. ` +
      "Clean them one by one.",
  );
}

function textOf(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function problemOf({ key: name, value, where }: Given): string | null {
  const known = Object.hasOwn(keys, name) ? keys[name] : undefined;
  if (known === undefined) return `${where()}: unknown key "${name}".${didYouMean(name, Object.keys(keys))}`;
  if (!known.check(value).success)
    return `${where()}: expected ${name} to be ${known.expected}, got ${gotText(value)}.`;
  const isWeighted =
    /^(eval_)?data$/.test(name) && datasets.parse(value).some(({ weight }) => weight !== null);
  return isWeighted ? `${where()}: expected no weight in ${name}: cleaning reads all rows.` : null;
}

/** Each filter is a code, or a mapping of one code to its options. */
function filtersOf({ value, where }: Given, problems: string[]): CleanFilter[] {
  return (value as (string | Record<string, unknown>)[]).flatMap((entry): CleanFilter[] => {
    const named = typeof entry === "string" ? [[entry, {}] as const] : Object.entries(entry);
    const [first, ...others] = named;
    if (first === undefined || others.length > 0) {
      problems.push(
        `${where()}: expected one code with its options, got ${Object.keys(entry).join(", ") || "none"}.`,
      );
      return [];
    }
    const [code, options] = first;
    const kind = filterKinds.find((one) => one.code === code);
    if (kind === undefined) {
      problems.push(`${where()}: ${notFilter(code)}`);
      return [];
    }
    const read = kind.options.safeParse(options ?? {});
    if (read.success) return [{ kind, options: read.data }];
    problems.push(`${where()}: filter ${code}: ${z.prettifyError(read.error)}`);
    return [];
  });
}

/** What is wrong with a code that is none of a filter's. */
function notFilter(code: string): string {
  const codes = filterKinds.map((one) => one.code);
  const isFinding = describeFindings().some((finding) => finding.code === code);
  const wrong = isFinding
    ? `no filter "${code}": data check does not find it in single pairs.`
    : `unknown filter "${code}".${didYouMean(code, codes)}`;
  return `${wrong} There are ${codes.join(", ")}.`;
}
