/** The data of the workbench: its pairs and what was said of them, people and their agreement, decisions, imports, versions. */
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { z } from "zod";
import { DataError } from "../base/errors.ts";
import { uniqueTag } from "../base/file-io.ts";
import { makeDirectory, remove, writeFileAtomic } from "../base/files.ts";
import { plainText } from "../text/message-text.ts";
import { type Choice, inputsText } from "../workbench/comparison.ts";
import { conflictsIn } from "../workbench/export-labels.ts";
import { type Imported, importFiles, importPasted } from "../workbench/import-comparisons.ts";
import type { LabelState } from "../workbench/label-events.ts";
import { decide } from "../workbench/labelling.ts";
import { itemLineage, runSources } from "../workbench/lineage.ts";
import { type PeopleReport, peopleReport } from "../workbench/people.ts";
import { namedRun, runFiles } from "./clean-routes.ts";
import { personOf } from "./label-routes.ts";
import { PageError } from "./page-error.ts";
import { pageRows } from "./page-rows.ts";
import { refusing } from "./refusing.ts";
import { bodyOf } from "./request-body.ts";
import { type Ctx, type DashboardContext, ownerOnly, type Route, seesRuns } from "./route.ts";
import { idOf } from "./run-store.ts";

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

/** What a list of pairs can be narrowed to. */
const itemFilters = ["all", "unjudged", "judged", "conflicts", "flagged"] as const;

/** A pair as the list shows it: without who wrote its answers. */
export interface ListedItem {
  item: string;
  inputs: string;
  prompt: string;
  a: string;
  b: string;
  votes: { person: string; verdict: string }[];
  decision: Choice | null;
  notes: readonly string[];
  isFlagged: boolean;
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
    get("/api/items/:item", async (c) => c.json(await whereItWent(context, parameter(c, "item")))),
    get("/api/runs/:run/labels", async (c) => c.json(await behind(context, parameter(c, "run")))),
    get("/api/people", (c) => c.json(bench.exists ? peopleOf(peopleReport(bench.store)) : nobody)),
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
  ];
}

/** A report as it is sent. */
export interface SentPeople extends PeopleReport {
  /** People who are not in it, for they judged less than those who are. */
  unlisted: number;
}

const nobody: SentPeople = { people: [], agreement: null, conflicts: [], findings: [], unlisted: 0 };

/** Most people that are sent: a file of battles may name many thousands. */
const mostPeople = 200;

function peopleOf(report: PeopleReport): SentPeople {
  const all = report.people;
  if (all.length <= mostPeople) return { ...report, unlisted: 0 };
  const people = all.toSorted((one, other) => other.labelled - one.labelled).slice(0, mostPeople);
  return { ...report, people, unlisted: all.length - mostPeople };
}

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
    const { comparison } = store.item(id);
    const { prompt, answers } = comparison;
    const votes = [...state.votes.values()].filter(
      (vote) => vote.item === id && vote.showing?.isRepeat !== true,
    );
    return {
      item: id,
      inputs: inputsText(comparison),
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

async function whereItWent({ bench, runs }: DashboardContext, item: string): Promise<object> {
  if (!bench.exists || !bench.store.order.includes(item)) throw new PageError(404, "There is no such pair.");
  const dirs = runFiles(runs).map(({ dir }) => dir);
  const { versions, runs: read } = await itemLineage(bench.dir, item, dirs);
  const named = read.map((dir) => namedRun(runs, idOf(dir)));
  return { item, versions: versions.map(({ digest }) => ({ digest })), runs: named };
}

/** The labels, people, judges and models behind a run's data; null: they are no version of this workbench. */
export interface BehindRun {
  versions: string[];
  items: number;
  people: Record<string, number>;
  judges: Record<string, number>;
  models: Record<string, number>;
}

async function behind({ bench, runs }: DashboardContext, run: string): Promise<{ behind: BehindRun | null }> {
  const dir = runs.dirOf(run);
  if (!bench.exists) return { behind: null };
  const { versions, items, people, judges, models } = await runSources(bench.dir, bench.store, dir);
  if (versions.length === 0) return { behind: null };
  const digests = versions.map(({ digest }) => digest);
  return { behind: { versions: digests, items, people, judges, models } };
}

/** Reads what was sent by the code that reads files, from a file that is deleted again. */
async function importSent(
  { bench }: DashboardContext,
  { name, text }: z.infer<typeof importBody>,
): Promise<object> {
  const read = await (name === undefined ? importPasted(text) : importNamed(name, text)).catch(sayWhereToMap);
  const { comparisons, rows, forms, left } = read;
  return { rows, forms, left, ...bench.store.add(comparisons) };
}

/** Adds to the proposal of a column mapping, for which the page has no place, where there is one. */
function sayWhereToMap(error: unknown): never {
  if (error instanceof DataError && error.proposesColumns)
    error.message += " That is said on the command line: preftune labels import DIR FILE --columns '{...}'.";
  throw error;
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
