/**
 * Takes rows out by a recipe of filters, each row by the first filter that finds something in it. The files that are read stay as
 * they are: without a filter, the same recipe gives its rows back.
 */
import { resolve } from "node:path";
import { ConfigError, DataError } from "../../base/errors.ts";
import { sha256, sha256File, writeFileAtomic } from "../../base/files.ts";
import { describeOrigin, type RawRow } from "../../data/example.ts";
import { findFiles, readRows } from "../../data/sources.ts";
import { contextLength } from "../../formats/model-config.ts";
import { type ModelText, openText } from "../../text/open-text.ts";
import { type RemovedRow, saveVersion } from "../versions.ts";
import type { CleanRecipe } from "./clean-recipe.ts";
import { type CleanRow, type CleanText, cleanRows } from "./clean-row.ts";
import type { FilterContext } from "./filters.ts";

/** What a cleaning did. */
export interface CleanResult {
  read: number;
  kept: number;
  /** In the order of the recipe. */
  filters: { code: string; taken: number }[];
  /** SHA-256 of the rows that are left: the name of the version. */
  digest: string;
}

/**
 * Reads, filters and writes what `recipe` names.
 *
 * @param modelDirectory - where model_name_or_path lies on the disk; null where the recipe names none
 * @throws {DataError} where a row that no filter took cannot be trained on, or a filter lacks what it needs
 */
export async function clean(recipe: CleanRecipe, modelDirectory: string | null): Promise<CleanResult> {
  await refuseOverwriting(recipe);
  await using text = modelDirectory === null ? null : await openText(modelDirectory);
  const model = text === null ? null : textOf(text, recipe);
  if (text === null && recipe.max_length !== null)
    throw new ConfigError(
      "max_length: expected model_name_or_path beside it, whose tokens it counts, got none.",
    );
  const rows = await cleanRows(rowsOf(recipe.data), model);
  const heldOut = recipe.eval_data.length === 0 ? null : await promptsOf(recipe.eval_data);
  const { left, removed, filters } = await filtered(rows, recipe, { heldOut, hasModel: model !== null });
  refuseUnreadable(left);
  const values = left.map(({ value }) => value);
  const lines = linesOf(values);
  if (recipe.output !== null) writeFileAtomic(recipe.output, lines);
  if (recipe.removed !== null) writeFileAtomic(recipe.removed, linesOf(removed));
  const result = { read: rows.length, kept: left.length, filters, digest: sha256(lines) };
  if (recipe.workbench !== null) {
    const rules = recipe.filters.map(({ kind, options }) => ({ [kind.code]: options }));
    const about = { by: "clean", sources: await digestsOf(recipe.data), rules, counts: result } as const;
    await saveVersion(recipe.workbench, values, about, removed);
  }
  return result;
}

/** The files that are read stay as they are. */
async function refuseOverwriting({ data, eval_data, output, removed }: CleanRecipe): Promise<void> {
  const read = new Set<string>();
  for (const path of [...data, ...eval_data])
    for (const file of (await findFiles({ path })).files) read.add(resolve(file.path));
  for (const [key, path] of Object.entries({ output, removed })) {
    if (path !== null && read.has(resolve(path)))
      throw new ConfigError(`${key}: expected another file than those that are read, got ${path}.`);
  }
  if (output !== null && removed !== null && resolve(output) === resolve(removed))
    throw new ConfigError(`removed: expected another file than output, got ${removed}.`);
}

async function* rowsOf(paths: readonly string[]): AsyncGenerator<RawRow> {
  for (const path of paths) yield* readRows({ path });
}

function textOf(text: ModelText, { max_length: maxLength }: CleanRecipe): CleanText {
  const { config, tokenizer, encoder, stopIds } = text;
  const context = contextLength(config);
  const limit = Math.min(maxLength ?? Number.POSITIVE_INFINITY, context ?? Number.POSITIVE_INFINITY);
  return {
    text,
    facts: {
      vocabSize: config.vocabSize,
      bosTokenId: tokenizer.bosTokenId,
      stopIds,
      hasChatTemplate: encoder.hasChatTemplate,
    },
    maxLength: Number.isFinite(limit) ? limit : null,
  };
}

async function promptsOf(paths: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await cleanRows(rowsOf(paths), null);
  return new Set(rows.filter(({ answers }) => answers.length > 0).map(({ prompt }) => prompt));
}

async function filtered(
  rows: readonly CleanRow[],
  { filters }: CleanRecipe,
  context: FilterContext,
): Promise<{ left: readonly CleanRow[]; removed: RemovedRow[]; filters: CleanResult["filters"] }> {
  let left = rows;
  const removed: RemovedRow[] = [];
  const counts: CleanResult["filters"] = [];
  for (const { kind, options } of filters) {
    const taken = await kind.take(left, context, options);
    counts.push({ code: kind.code, taken: taken.size });
    for (const [i, detail] of taken) {
      const row = left[i];
      if (row === undefined) continue;
      const { origin, value } = row;
      removed.push({
        filter: kind.code,
        origin: describeOrigin(origin),
        ...(detail === "" ? {} : { detail }),
        row: value,
      });
    }
    left = left.filter((_, i) => !taken.has(i));
  }
  return { left, removed, filters: counts };
}

function refuseUnreadable(rows: readonly CleanRow[]): void {
  const faulty = rows.filter(({ answers }) => answers.length === 0);
  const [first] = faulty;
  if (first === undefined) return;
  const [code = "invalid_row", message = ""] = [...first.codes][0] ?? [];
  throw new DataError(
    `${faulty.length} rows are left that cannot be trained on (first: ${message || describeOrigin(first.origin)}). Add ${code} to filters.`,
  );
}

async function digestsOf(paths: readonly string[]): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  for (const path of paths)
    for (const file of (await findFiles({ path })).files) digests[file.name] = sha256File(file.path);
  return digests;
}

function linesOf(values: readonly unknown[]): string {
  return values.map((value) => `${JSON.stringify(value)}\n`).join("");
}
