/** The data of the workbench: its pairs and what was said of them, people and their agreement, decisions, imports, versions. */
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { z } from "zod";
import { DataError } from "../base/errors.ts";
import { uniqueTag } from "../base/file-io.ts";
import { makeDirectory, remove, writeFileAtomic } from "../base/files.ts";
import { normaliseRow } from "../data/rows.ts";
import { readJsonLines } from "../runs/json-lines.ts";
import { type Choice, plainText } from "../workbench/comparison.ts";
import { conflictsIn, exportLabels } from "../workbench/export-labels.ts";
import { type Imported, importFiles, importPasted } from "../workbench/import-comparisons.ts";
import type { LabelState } from "../workbench/label-events.ts";
import { decide } from "../workbench/labelling.ts";
import { itemLineage } from "../workbench/lineage.ts";
import { type PeopleReport, peopleReport } from "../workbench/people.ts";
import {
  filesOfRun,
  listVersions,
  readVersion,
  removedRows,
  saveVersion,
  type Version,
  versionPaths,
} from "../workbench/versions.ts";
import { personOf } from "./label-routes.ts";
import { PageError } from "./page-error.ts";
import { refusing } from "./refusing.ts";
import { bodyOf } from "./request-body.ts";
import { type Ctx, type DashboardContext, ownerOnly, type Route, seesRuns } from "./route.ts";

/** Rows of a page of a list. */
const pageRows = 50;

/** Longest file that is sent to be imported, bytes. */
const maxImport = 2 ** 26;

const importBody = z.strictObject({
  /** The file's name, whose ending says what it is; left out: a table that was copied. */
  name: z.string().max(200).optional(),
  text: z.string(),
});
const decisionBody = z.strictObject({
  item: z.string().regex(/^[0-9a-f]{64}$/),
  choice: z.enum(["a", "b", "tie", "bad"]).nullable(),
});
const exportBody = z.strictObject({
  rows: z.enum(["pairs", "kto"]),
  ties: z.enum(["drop", "good"]),
  bad: z.enum(["drop", "bad"]),
  conflicts: z.enum(["drop", "majority", "error"]),
});

/** What a list of pairs can be narrowed to. */
const itemFilters = ["all", "unjudged", "judged", "conflicts", "flagged"] as const;

/** A pair as the list shows it: without who wrote its answers. */
export interface ListedItem {
  item: string;
  prompt: string;
  a: string;
  b: string;
  votes: { person: string; verdict: string }[];
  decision: Choice | null;
  notes: readonly string[];
  isFlagged: boolean;
}

/** A version with the runs that read it. */
export interface ListedVersion extends Version {
  runs: { id: string; name: string }[];
}

/** A page of a version's rows. */
export interface VersionRows {
  version: Version;
  /** Rows in all, by what became of them: kept, or the filter that took them. */
  groups: { name: string; rows: number }[];
  rows: { row: unknown; origin?: string; detail?: string }[];
}

/** The routes. */
export function benchRoutes(context: DashboardContext): Route[] {
  const { bench } = context;
  const get = (path: string, answer: Route["answer"]): Route => ({
    ...{ method: "GET", path, roles: seesRuns, answer: refusing(answer) },
  });
  const post = (path: string, answer: Route["answer"], maxBodyBytes = 2 ** 20): Route => ({
    ...{ method: "POST", path, roles: ownerOnly, maxBodyBytes, answer: refusing(answer) },
  });
  return [
    get("/api/items", (c) => c.json(bench.exists ? itemsOf(context, c) : { items: [], total: 0 })),
    get("/api/items/:item", (c) => c.json(whereItWent(context, parameter(c, "item")))),
    get("/api/people", (c) => c.json(bench.exists ? peopleReport(bench.store) : nobody)),
    get("/api/versions", (c) => c.json({ versions: versionsOf(context) })),
    get("/api/versions/:version", (c) => c.json(versionRows(context, c))),
    post(
      "/api/import",
      async (c) => c.json(await importSent(context, await bodyOf(c, importBody))),
      maxImport,
    ),
    post("/api/decisions", async (c) => {
      const { item, choice } = await bodyOf(c, decisionBody);
      decide(bench.store, personOf(c), item, choice);
      return c.json({});
    }),
    post("/api/versions", async (c) => {
      const rules = await bodyOf(c, exportBody);
      const { rows, counts } = exportLabels(bench.store, rules);
      const version = await saveVersion(bench.dir, rows, { by: "export", sources: {}, rules, counts });
      // of rows that were a version before, the counts of this time
      return c.json({ ...version, counts });
    }),
  ];
}

const nobody: PeopleReport = { people: [], agreement: null, conflicts: [], findings: [] };

function itemsOf({ bench }: DashboardContext, c: Ctx): { items: ListedItem[]; total: number } {
  const { store } = bench;
  const state = store.state();
  const filter = c.req.query("show") ?? "all";
  const words = (c.req.query("find") ?? "").toLowerCase();
  const from = Math.max(0, Number(c.req.query("from") ?? 0) || 0);
  const isShown = filterOf(filter, state, filter === "conflicts" ? new Set(conflictsIn(store)) : new Set());
  const found = store.order
    .filter(isShown)
    .filter((id) => words === "" || textOf(store.item(id).comparison).includes(words));
  const items = found.slice(from, from + pageRows).map((id): ListedItem => {
    const { prompt, answers } = store.item(id).comparison;
    const votes = [...state.votes.values()].filter(
      (vote) => vote.item === id && vote.showing?.isRepeat !== true,
    );
    return {
      item: id,
      prompt: plainText(prompt),
      a: plainText(answers[0]),
      b: plainText(answers[1]),
      votes: votes.map(({ person, verdict }) => ({ person, verdict })),
      decision: state.decisions.get(id)?.choice ?? null,
      notes: (state.notes.get(id) ?? []).map(({ person, text }) => `${person}: ${text}`),
      isFlagged: isFlagged(state, id),
    };
  });
  return { items, total: found.length };
}

function textOf({
  prompt,
  answers,
}: {
  prompt: Parameters<typeof plainText>[0];
  answers: readonly Parameters<typeof plainText>[0][];
}): string {
  return [prompt, ...answers].map(plainText).join("\n").toLowerCase();
}

function filterOf(name: string, state: LabelState, conflicts: ReadonlySet<string>): (id: string) => boolean {
  const judged = new Set([...state.votes.values()].map(({ item }) => item));
  const filters: Record<(typeof itemFilters)[number], (id: string) => boolean> = {
    all: () => true,
    unjudged: (id) => !judged.has(id),
    judged: (id) => judged.has(id),
    conflicts: (id) => conflicts.has(id),
    flagged: (id) => isFlagged(state, id),
  };
  const found = itemFilters.find((filter) => filter === name);
  if (found !== undefined) return filters[found];
  throw new PageError(422, `show: expected one of ${itemFilters.join(", ")}, got ${JSON.stringify(name)}.`);
}

function isFlagged({ flags }: LabelState, id: string): boolean {
  return (flags.get(id)?.size ?? 0) > 0;
}

function whereItWent({ bench, runs }: DashboardContext, item: string): object {
  if (!bench.exists || !bench.store.order.includes(item)) throw new PageError(404, "There is no such pair.");
  const dirs = runs.dirs();
  const { versions, runs: read } = itemLineage(bench.dir, item, [...dirs.values()]);
  const named = [...dirs].filter(([, dir]) => read.includes(dir)).map(([id]) => namedRun(runs, id));
  return { item, versions, runs: named };
}

function namedRun(runs: DashboardContext["runs"], id: string): { id: string; name: string } {
  return { id, name: runs.summary(id).name };
}

function versionsOf({ bench, runs }: DashboardContext): ListedVersion[] {
  const read = [...runs.dirs()].map(([id, dir]) => ({ id, files: filesOfRun(dir) }));
  return listVersions(bench.dir).map((version) => ({
    ...version,
    runs: read.filter(({ files }) => files.includes(version.digest)).map(({ id }) => namedRun(runs, id)),
  }));
}

function versionRows({ bench }: DashboardContext, c: Ctx): VersionRows {
  const digest = parameter(c, "version");
  if (!listVersions(bench.dir).some((version) => version.digest === digest))
    throw new PageError(404, "There is no such version.");
  const version = readVersion(bench.dir, digest);
  const removed = removedRows(bench.dir, digest);
  const filters = [...new Set(removed.map(({ filter }) => filter))];
  const group = c.req.query("group") ?? "kept";
  const from = Math.max(0, Number(c.req.query("from") ?? 0) || 0);
  const rows =
    group === "kept"
      ? readJsonLines(versionPaths(bench.dir, digest).rows).map(({ value }) => ({
          row: withoutVoices(value),
        }))
      : removed
          .filter(({ filter }) => filter === group)
          .map((one) => ({ ...one, row: withoutVoices(one.row) }));
  return {
    version,
    groups: [
      { name: "kept", rows: version.rows },
      ...filters.map((name) => ({ name, rows: removed.filter(({ filter }) => filter === name).length })),
    ],
    rows: rows.slice(from, from + pageRows),
  };
}

/**
 * The texts of a row, and no other column: those may say which model wrote what, and somebody who looks here may have pairs of it
 * left to judge. A row that cannot be read is shown as it is.
 */
function withoutVoices(row: unknown): unknown {
  const { prompt, completion, label } = row as Record<string, unknown>;
  if (typeof label === "boolean" && completion !== undefined) return { prompt, completion, label };
  try {
    const { source } = normaliseRow(
      { origin: { file: "", line: 0 }, value: row as Record<string, unknown> },
      { task: "preference" },
    );
    if (source?.kind !== "chat" && source?.kind !== "text") return row;
    const [chosen, rejected] = source.completions;
    return { prompt: source.prompt, chosen, rejected };
  } catch (error) {
    if (error instanceof DataError) return row;
    throw error;
  }
}

/** Reads what was sent by the code that reads files, from a file that is deleted again. */
async function importSent(
  { bench }: DashboardContext,
  { name, text }: z.infer<typeof importBody>,
): Promise<object> {
  const read = name === undefined ? await importPasted(text) : await importNamed(name, text);
  const { comparisons, rows, forms, left } = read;
  return { rows, forms, left, ...bench.store.add(comparisons) };
}

async function importNamed(name: string, text: string): Promise<Imported> {
  const known = [".jsonl", ".ndjson", ".json", ".csv", ".tsv"];
  const ending = extname(name).toLowerCase();
  if (!known.includes(ending))
    throw new PageError(
      422,
      `${name}: expected a file whose name ends in ${known.join(", ")}. preftune labels import reads others.`,
    );
  const dir = join(tmpdir(), `preftune-import-${uniqueTag()}`);
  try {
    const path = join(dir, `sent${ending}`);
    makeDirectory(dir);
    writeFileAtomic(path, text);
    return await importFiles(path);
  } catch (error) {
    // the person knows the file by its own name
    if (error instanceof Error) error.message = error.message.replaceAll(join(dir, `sent${ending}`), name);
    throw error;
  } finally {
    remove(dir);
  }
}

function parameter(c: Ctx, name: string): string {
  return c.req.param(name) ?? "";
}
