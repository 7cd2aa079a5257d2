/**
 * Takes rows out by a recipe of filters, each row by the first filter that finds something in it. The files that are read stay as
 * they are: without a filter, the same recipe gives its rows back. Rows pass one by one: of those that went by only what filters
 * remember is held.
 */
import { resolve } from "node:path";
import { ConfigError } from "../../base/errors.ts";
import { sha256FileInTurns } from "../../base/files.ts";
import { warn } from "../../base/warn.ts";
import { describeOrigin } from "../../data/example.ts";
import { requireOtherOutput } from "../../data/other-output.ts";
import { findFiles, readRows } from "../../data/sources.ts";
import { contextLength } from "../../formats/model-config.ts";
import type { EncoderOptions } from "../../text/encode.ts";
import { type ModelText, openText } from "../../text/open-text.ts";
import { LineSink } from "../line-sink.ts";
import { VersionDraft } from "../versions.ts";
import type { CleanRecipe, CleanSource } from "./clean-recipe.ts";
import { type CleanReading, type CleanRow, type CleanText, cleanRows, type MappedRow } from "./clean-row.ts";
import type { Finder } from "./filters.ts";
import { KeptRows, SingleAnswers } from "./kept-rows.ts";

/** What a cleaning did. */
export interface CleanResult {
  read: number;
  kept: number;
  /** In the order of the recipe. */
  filters: { code: string; taken: number }[];
  /** SHA-256 of the rows that are left: the name of the version. */
  digest: string;
}

/** A filter at work. */
interface AtWork {
  code: string;
  taken: number;
  find: Finder;
}

/**
 * Reads, filters and writes what `recipe` names.
 *
 * @param modelDirectory - where model_name_or_path lies on the disk; null where the recipe names none
 * @param options - `isTrial`: counts, and writes nothing
 * @throws {DataError} where a row that no filter took cannot be trained on, or a filter lacks what it needs
 */
export async function clean(
  recipe: CleanRecipe,
  modelDirectory: string | null,
  { isTrial = false }: { isTrial?: boolean } = {},
): Promise<CleanResult> {
  await refuseOverwriting(recipe);
  const [needing] = recipe.needsModel;
  if (modelDirectory === null && needing !== undefined)
    throw new ConfigError(
      `${needing}: expected model_name_or_path beside it, whose tokens it is about, got none.`,
    );
  await using text = modelDirectory === null ? null : await openText(modelDirectory, encoderOptions(recipe));
  const model = text === null ? null : textOf(text, recipe);
  const reading = { plain_strings: recipe.plain_strings, model };
  const heldOut = recipe.eval_data.length === 0 ? null : await promptsOf(recipe.eval_data, reading);
  const filters: AtWork[] = [];
  for (const { kind, options } of recipe.filters) {
    const find = await kind.open({ heldOut, hasModel: model !== null }, options);
    filters.push({ code: kind.code, taken: 0, find });
  }
  using outlet = new Outlet(isTrial ? { output: null, removed: null, workbench: null } : recipe);
  const left = new KeptRows();
  const single = new SingleAnswers();
  let read = 0;
  for await (const row of cleanRows(rowsOf(recipe.data), reading)) {
    read++;
    single.add(row);
    if (isTaken(row, filters, outlet)) continue;
    left.add(row);
    const { kept } = row;
    outlet.kept.write(kept);
    outlet.draft?.keep(kept);
  }
  single.requirePairs();
  if (!isTrial) left.requireUsable();
  const digest = outlet.end();
  const counts = filters.map(({ code, taken }) => ({ code, taken }));
  const result = { read, kept: outlet.kept.rows, filters: counts, digest };
  if (outlet.draft !== null) {
    const rules = recipe.filters.map(({ kind, options }) => ({ [kind.code]: options }));
    const sources = await digestsOf(recipe.data);
    const columns = recipe.columns === null ? {} : { columns: recipe.columns };
    await outlet.draft.save({ by: "clean", sources, ...columns, rules, counts: result });
  }
  outlet.place();
  tellEmpty(recipe, result);
  return result;
}

/** No row is left: what is written is empty, which whoever reads it would be the first to say. */
function tellEmpty({ output }: CleanRecipe, { read, kept, filters }: CleanResult): void {
  if (kept > 0) return;
  const taken = filters
    .filter((filter) => filter.taken > 0)
    .map((filter) => `${filter.code} ${filter.taken}`);
  warn(
    `${output ?? "the version"}: no row is left, the filters took all ${read} (${taken.join(", ")}). Loosen the one that takes most.`,
  );
}

/** Whether one of the filters takes the row, which then has it. */
function isTaken(row: CleanRow, filters: readonly AtWork[], outlet: Outlet): boolean {
  for (const filter of filters) {
    const detail = filter.find(row);
    if (detail === null) continue;
    filter.taken++;
    const found = detail === "" ? {} : { detail };
    const removed = { filter: filter.code, origin: describeOrigin(row.origin), ...found, row: row.value };
    outlet.removed.write(removed);
    outlet.draft?.take(removed);
    return true;
  }
  return false;
}

/** Where rows go. */
class Outlet {
  readonly kept: LineSink;
  readonly removed: LineSink;
  readonly draft: VersionDraft | null;
  readonly #opened: DisposableStack;

  constructor({ output, removed, workbench }: Pick<CleanRecipe, "output" | "removed" | "workbench">) {
    // where one cannot be opened, those before it leave nothing
    using opening = new DisposableStack();
    this.kept = opening.use(new LineSink(output));
    this.removed = opening.use(new LineSink(removed));
    this.draft = workbench === null ? null : opening.use(new VersionDraft(workbench));
    this.#opened = opening.move();
  }

  /** No more rows come. @returns SHA-256 of those that are kept */
  end(): string {
    this.removed.end();
    return this.kept.end();
  }

  /** Puts the files in place, after their {@link end}. */
  place(): void {
    this.kept.place();
    this.removed.place();
  }

  [Symbol.dispose](): void {
    this.#opened.dispose();
  }
}

/** The files that are read stay as they are. */
async function refuseOverwriting({ data, eval_data, output, removed }: CleanRecipe): Promise<void> {
  const read = [...data, ...eval_data].map(({ path }) => path);
  await requireOtherOutput({ output, removed }, read);
  if (output !== null && removed !== null && resolve(output) === resolve(removed))
    throw new ConfigError(`removed: expected another file than output, got ${removed}.`);
}

async function* rowsOf(sources: readonly CleanSource[]): AsyncGenerator<MappedRow> {
  for (const { path, columns } of sources) for await (const row of readRows({ path })) yield { row, columns };
}

function encoderOptions({ chat_template, enable_thinking, mask_tool_output }: CleanRecipe): EncoderOptions {
  return {
    chatTemplate: chat_template,
    enableThinking: enable_thinking,
    maskToolOutput: mask_tool_output,
  };
}

function textOf(text: ModelText, { max_length: maxLength }: CleanRecipe): CleanText {
  const { config, tokenizer, encoder, stopIds } = text;
  return {
    text,
    facts: {
      vocabSize: config.vocabSize,
      bosTokenId: tokenizer.bosTokenId,
      stopIds,
      hasChatTemplate: encoder.hasChatTemplate,
    },
    maxLength,
    context: contextLength(config),
  };
}

async function promptsOf(
  sources: readonly CleanSource[],
  reading: CleanReading,
): Promise<ReadonlySet<string>> {
  const prompts = new Set<string>();
  for await (const { promptKey } of cleanRows(rowsOf(sources), reading)) prompts.add(promptKey);
  return prompts;
}

async function digestsOf(sources: readonly CleanSource[]): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  for (const { path } of sources)
    for (const file of (await findFiles({ path })).files)
      digests[file.name] = await sha256FileInTurns(file.path);
  return digests;
}
