/** The recipe of a cleaning: which rows, by which filters in which order, and where what is left goes. */
import { z } from "zod";
import { ConfigError } from "../../base/errors.ts";
import { didYouMean } from "../../base/suggest.ts";
import { type Given, givenByYaml, gotText, readConfigText } from "../../config/given.ts";
import { type FilterKind, filterKinds } from "./filters.ts";

/** A filter with its options. */
export interface CleanFilter {
  kind: FilterKind;
  options: Record<string, unknown>;
}

/** A recipe, checked. */
export interface CleanRecipe {
  data: readonly string[];
  eval_data: readonly string[];
  model_name_or_path: string | null;
  max_length: number | null;
  filters: readonly CleanFilter[];
  /** The file of what is left; null: only a version. */
  output: string | null;
  /** The file of what was taken out. */
  removed: string | null;
  /** A workbench that keeps the result as a version; null: none does. */
  workbench: string | null;
}

const paths = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);

/** Keys of the file, and what each must be. */
const keys = {
  data: { schema: paths, expected: "a file of rows or a list of them" },
  eval_data: { schema: paths, expected: "a file of held-out rows or a list of them" },
  model_name_or_path: { schema: z.string().min(1), expected: "a model's directory or hub id" },
  max_length: { schema: z.int().min(8), expected: "a whole number of at least 8" },
  filters: {
    schema: z.array(z.union([z.string(), z.record(z.string(), z.unknown())])).min(1),
    expected: "a list of filters: codes, or one code each with its options",
  },
  output: { schema: z.string().min(1), expected: "the path of a .jsonl file" },
  removed: { schema: z.string().min(1), expected: "the path of a .jsonl file" },
  workbench: { schema: z.string().min(1), expected: "the directory of a workbench" },
} as const;

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
  const valueAt = (key: keyof typeof keys): unknown => given.find((entry) => entry.key === key)?.value;
  for (const key of ["data", "filters"] as const) {
    if (valueAt(key) === undefined)
      problems.push(`${file}: ${key} is missing: expected ${keys[key].expected}.`);
  }
  if (valueAt("output") === undefined && valueAt("workbench") === undefined)
    problems.push(`${file}: expected output (a file) or workbench (a directory), got neither.`);
  const listed = given.find(({ key }) => key === "filters");
  const filters = listed === undefined || problems.length > 0 ? [] : filtersOf(listed, problems);
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
  const output = textOf(valueAt("output"));
  return {
    data: listOf(valueAt("data")),
    eval_data: listOf(valueAt("eval_data")),
    model_name_or_path: textOf(valueAt("model_name_or_path")),
    max_length: (valueAt("max_length") as number | undefined) ?? null,
    filters,
    output,
    removed:
      textOf(valueAt("removed")) ??
      (output === null ? null : output.replace(/(\.jsonl)?$/, "-removed.jsonl")),
    workbench: textOf(valueAt("workbench")),
  };
}

function listOf(value: unknown): string[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? (value as string[]) : [String(value)];
}

function textOf(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function problemOf({ key, value, where }: Given): string | null {
  if (!Object.hasOwn(keys, key))
    return `${where()}: unknown key "${key}".${didYouMean(key, Object.keys(keys))}`;
  const { schema, expected } = keys[key as keyof typeof keys];
  return schema.safeParse(value).success
    ? null
    : `${where()}: expected ${key} to be ${expected}, got ${gotText(value)}.`;
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
      const codes = filterKinds.map((one) => one.code);
      problems.push(
        `${where()}: unknown filter "${code}".${didYouMean(code, codes)} There are ${codes.join(", ")}.`,
      );
      return [];
    }
    const read = kind.options.safeParse(options ?? {});
    if (read.success) return [{ kind, options: read.data }];
    problems.push(`${where()}: filter ${code}: ${z.prettifyError(read.error)}`);
    return [];
  });
}
