/** Versions and the cleaning that makes them: the recipe of `preftune data clean`, from the page. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { DataError, PreftuneError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import { isFolder } from "../base/open-file.ts";
import type { ColumnMap } from "../data/columns.ts";
import { normaliseRow } from "../data/rows.ts";
import { plainText } from "../text/message-text.ts";
import { clean } from "../workbench/clean/clean.ts";
import { parseCleanRecipe } from "../workbench/clean/clean-recipe.ts";
import { filterKinds } from "../workbench/clean/filters.ts";
import { inputsText } from "../workbench/comparison.ts";
import { exportLabels } from "../workbench/export-labels.ts";
import {
  filesOfRun,
  listVersions,
  openVersion,
  type RemovedRow,
  saveVersion,
  type Version,
} from "../workbench/versions.ts";
import { type RowSource, rowSource, rowSources } from "./data-sources.ts";
import { PageError } from "./page-error.ts";
import { pageRows } from "./page-rows.ts";
import { refusing } from "./refusing.ts";
import { bodyOf } from "./request-body.ts";
import { type Ctx, type DashboardContext, ownerOnly, type Route, seesRuns } from "./route.ts";

/** Folders of the workbench whose files filters compare with. */
const folders = { scores: "scores", files: "benchmarks" } as const;

const exportBody = z.strictObject({
  rows: z.enum(["pairs", "kto"]),
  ties: z.enum(["drop", "good"]),
  bad: z.enum(["drop", "bad"]),
  conflicts: z.enum(["drop", "majority", "error"]),
});

const option = z.union([z.number(), z.string().max(200), z.array(z.string().max(200)).max(50)]);
const filter = z.strictObject({ code: z.string().max(40), options: z.record(z.string().max(40), option) });
const cleanBody = z.strictObject({
  source: z.string().max(100),
  /** Rows whose prompts must not be among them; null: none. */
  heldOut: z.string().max(100).nullable(),
  filters: z.array(filter).min(1).max(40),
  /** Only counted. */
  isTrial: z.boolean(),
});

/** A filter as the page has it: its options without paths. */
export interface PageFilter {
  code: string;
  options: Record<string, unknown>;
}

/** A run by its name. */
export interface NamedRun {
  id: string;
  name: string;
}

/** A version with the runs that read it. Of its sources it has the names of files alone. */
export interface ListedVersion extends Omit<Version, "rules"> {
  /** Of an export its rules, of a cleaning its filters. */
  rules: unknown;
  runs: NamedRun[];
}

/** A page of a version's rows. */
export interface VersionRows {
  version: ListedVersion;
  /** The rows that it was made of, where they are still there. */
  source: string | null;
  /** Rows in all, by what became of them: kept, or the filter that took them. */
  groups: { name: string; rows: number }[];
  /** Of the rows that were kept, what quick filters find in them. */
  findings: { code: string; rows: number }[];
  rows: { row: unknown; origin?: string; detail?: string }[];
}

/** What a cleaning can be made of. */
export interface Cleaning {
  sources: { id: string; name: string; bytes: number }[];
  filters: { code: string; words: string; options: unknown }[];
  scores: string[];
  files: string[];
}

/** The routes. */
export function cleanRoutes(context: DashboardContext): Route[] {
  const { bench } = context;
  const get = (path: string, answer: Route["answer"]): Route => ({
    ...{ method: "GET", path, roles: seesRuns, answer: refusing(answer) },
  });
  const post = (path: string, answer: Route["answer"]): Route => ({
    ...{ method: "POST", path, roles: ownerOnly, answer: refusing(answer) },
  });
  return [
    get("/api/versions", (c) => c.json({ versions: listVersions(bench.dir).map(listed(context)) })),
    get("/api/versions/:version", async (c) => c.json(await versionRows(context, c))),
    get("/api/cleaning", (c) => c.json(cleaning(context))),
    post("/api/versions", async (c) => {
      const rules = await bodyOf(c, exportBody);
      const { rows, counts } = exportLabels(bench.store, rules);
      const version = await saveVersion(bench.dir, rows, { by: "export", sources: {}, rules, counts });
      // of rows that were a version before, the counts of this time
      return c.json({ ...version, counts });
    }),
    post("/api/cleaning", async (c) => c.json(await cleaned(context, await bodyOf(c, cleanBody)))),
  ];
}

/** Versions for the page; what the runs read is looked up once for all of them. */
function listed({ runs }: DashboardContext): (version: Version) => ListedVersion {
  const read = runFiles(runs);
  return (version) => ({
    ...version,
    sources: Object.fromEntries(
      Object.entries(version.sources).map(([path, digest]) => [basename(path), digest]),
    ),
    rules: version.by === "clean" ? pageFilters(version.rules) : version.rules,
    runs: read.filter(({ files }) => files.includes(version.digest)).map(({ id }) => namedRun(runs, id)),
  });
}

/** The digests of the files that each run read. One whose files are damaged is left out: its own page says so. */
export function runFiles(runs: DashboardContext["runs"]): { id: string; dir: string; files: string[] }[] {
  return [...runs.dirs()].flatMap(([id, dir]) => {
    try {
      return [{ id, dir, files: filesOfRun(dir) }];
    } catch (error) {
      if (error instanceof PreftuneError) return [];
      throw error;
    }
  });
}

/** The run of this id. */
export function namedRun(runs: DashboardContext["runs"], id: string): NamedRun {
  return { id, name: runs.summary(id).name };
}

/** Filters as a version keeps them, for the page. */
function pageFilters(rules: unknown): PageFilter[] {
  return (rules as Record<string, Record<string, unknown>>[]).flatMap((rule) =>
    Object.entries(rule).map(([code, options]) => ({
      code,
      options: Object.fromEntries(
        Object.entries(options).map(([name, value]) => [
          name,
          name in folders ? withoutFolders(value) : value,
        ]),
      ),
    })),
  );
}

function withoutFolders(value: unknown): unknown {
  return Array.isArray(value) ? value.map((path) => basename(String(path))) : basename(String(value));
}

function cleaning(context: DashboardContext): Cleaning {
  return {
    sources: rowSources(context).map(({ id, name, bytes }) => ({ id, name, bytes })),
    filters: filterKinds
      .filter(({ needsTokens }) => needsTokens !== true)
      .map(({ code, words, options }) => ({
        code,
        words,
        options: z.toJSONSchema(options).properties ?? {},
      })),
    scores: namesIn(context, "scores"),
    files: namesIn(context, "files"),
  };
}

function namesIn({ bench }: DashboardContext, option: keyof typeof folders): string[] {
  const folder = join(bench.dir, folders[option]);
  return isFolder(folder) ? readdirSync(folder).sort() : [];
}

async function cleaned(
  context: DashboardContext,
  { source, heldOut, filters, isTrial }: z.infer<typeof cleanBody>,
): Promise<object> {
  const recipe = {
    data: sourceFor(context, source),
    ...(heldOut === null ? {} : { eval_data: sourceFor(context, heldOut) }),
    filters: filters.map(({ code, options }) => ({ [code]: withPaths(context, options) })),
    workbench: context.bench.dir,
  };
  return await clean(parseCleanRecipe(JSON.stringify(recipe), "the filters"), null, { isTrial });
}

/** A source as a recipe names it. */
function sourceFor(context: DashboardContext, id: string): Pick<RowSource, "path" | "columns"> {
  const { path, columns } = rowSource(context, id);
  return { path, columns };
}

/** Options whose files are named get the paths of the workbench's. */
function withPaths(
  context: DashboardContext,
  options: z.infer<typeof filter>["options"],
): Record<string, unknown> {
  const pathOf = (option: keyof typeof folders, name: string): string => {
    if (namesIn(context, option).includes(name)) return join(context.bench.dir, folders[option], name);
    throw new PageError(
      422,
      `${option}: expected a file of the workbench's folder ${folders[option]}, there is no ${name}.`,
    );
  };
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => {
      if (name !== "scores" && name !== "files") return [name, value];
      return [
        name,
        Array.isArray(value) ? value.map((one) => pathOf(name, one)) : pathOf(name, String(value)),
      ];
    }),
  );
}

async function versionRows(context: DashboardContext, c: Ctx): Promise<VersionRows> {
  const { bench } = context;
  const digest = c.req.param("version") ?? "";
  if (!listVersions(bench.dir).some((one) => one.digest === digest))
    throw new PageError(404, "There is no such version.");
  const { version, kept, removed } = await openVersion(bench.dir, digest);
  const { columns = {} } = version;
  const group = c.req.query("group") ?? "kept";
  const finding = c.req.query("finding") ?? "";
  const from = Math.max(0, Number(c.req.query("from") ?? 0) || 0);
  const rows =
    group === "kept"
      ? kept
          .page(finding === "" ? null : finding, from, pageRows)
          .map(({ value }) => ({ row: shown(value, columns) }))
      : (removed?.page(group, from, pageRows) ?? []).map(({ value }) => {
          const { row, origin, detail } = value as RemovedRow;
          return {
            row: shown(row, columns),
            origin: nameIn(origin),
            ...(detail === undefined ? {} : { detail: nameIn(detail) }),
          };
        });
  return {
    version: listed(context)(version),
    source: sourceOf(context, version),
    groups: [
      { name: "kept", rows: version.rows },
      ...(removed?.counts() ?? []).map(({ code, rows: count }) => ({ name: code, rows: count })),
    ],
    findings: kept.counts(),
    rows,
  };
}

/** The rows of a cleaning's source by their id; null where they are gone or several. */
function sourceOf(context: DashboardContext, { sources, columns }: Version): string | null {
  const [only, ...more] = Object.entries(sources);
  if (only === undefined || more.length > 0) return null;
  const [path, digest] = only;
  const found = rowSources(context).find(
    (source) =>
      source.id === digest || (source.path === path && isDeepStrictEqual(source.columns, columns ?? null)),
  );
  return found?.id ?? null;
}

/** A text that names a file, without the folders. */
function nameIn(text: string): string {
  return text.replaceAll(/(?<!\S)\S*\//g, "");
}

/**
 * The texts of a row, and no other column: those may say which model wrote what, and somebody who looks here may have pairs of it
 * left to judge. A row that cannot be read is shown as it is: what is no text as JSON, for a browser that read it would change its numbers.
 */
function shown(row: unknown, columns: ColumnMap): unknown {
  if (!isRecord(row)) return row;
  const asText = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value, null, 1));
  return (
    textsOf(row, columns) ??
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name, asText(value)]))
  );
}

/** The row as people read it; null where it is none of pairs or labelled answers. */
function textsOf(value: Record<string, unknown>, columns: ColumnMap): Record<string, string> | null {
  const isLabelled = typeof value["label"] === "boolean" && value["completion"] !== undefined;
  try {
    const raw = { origin: { file: "", line: 0 }, value };
    const { source } = normaliseRow(raw, { task: isLabelled ? "labelled" : "preference", columns });
    if (source?.kind !== "chat" && source?.kind !== "text") return null;
    const inputs = inputsText({ extra: value });
    const [first = "", second = ""] = source.completions.map(plainText);
    return {
      ...(inputs === "" ? {} : { "tools and settings": inputs }),
      prompt: plainText(source.prompt),
      ...(isLabelled
        ? { completion: first, label: String(value["label"]) }
        : { chosen: first, rejected: second }),
    };
  } catch (error) {
    if (error instanceof DataError) return null;
    throw error;
  }
}
