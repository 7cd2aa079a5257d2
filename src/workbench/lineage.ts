/** From a label to the runs it went into, and from a run to the labels, people, judges and models behind its data. */
import { isRecord } from "../base/is-record.ts";
import { readRows } from "../data/sources.ts";
import type { LabelStore } from "./label-store.ts";
import { filesOfRun, listVersions, type Version, versionPaths } from "./versions.ts";

/** Where an item went. */
export interface ItemLineage {
  item: string;
  /** Versions that hold it, the oldest first. */
  versions: Version[];
  /** Runs that read one of these. */
  runs: string[];
}

/** What stands behind the data of a run. */
export interface RunLineage extends RunSources {
  items: string[];
}

/** The same without the items one by one. */
export interface RunSources {
  run: string;
  versions: Version[];
  /** Judgments and decisions that say what its rows say, by who gave them: of an item once, however many rows it gives. */
  people: Record<string, number>;
  judges: Record<string, number>;
  /** Answers by who wrote them. */
  models: Record<string, number>;
}

/** What a row of an export says of itself. */
interface RowMeta {
  item: string;
  votes: { person: string; verdict: string }[];
  verdict: string;
  decidedBy?: string;
  models?: { chosen: string | null; rejected: string | null };
  model?: string | null;
}

/** The versions and the runs among `runs` that the item went into. */
export async function itemLineage(dir: string, item: string, runs: readonly string[]): Promise<ItemLineage> {
  const versions: Version[] = [];
  for (const version of listVersions(dir)) if (await holds(dir, version.digest, item)) versions.push(version);
  const digests = new Set(versions.map(({ digest }) => digest));
  return {
    item,
    versions,
    runs: runs.filter((run) => filesOfRun(run).some((digest) => digests.has(digest))),
  };
}

async function holds(dir: string, digest: string, item: string): Promise<boolean> {
  for await (const meta of metasOf(dir, digest)) if (meta.item === item) return true;
  return false;
}

/** The labels behind `run`, which are none where its rows are no version of this workbench. */
export async function runLineage(dir: string, store: LabelStore, run: string): Promise<RunLineage> {
  const versions = versionsOf(dir, run);
  const { items, ...counts } = await countsIn(dir, versions);
  return { ...sourcesOf(store, run, versions, counts), items: [...items] };
}

/** The same with the number of items alone, which is kept: versions do not change, and a page asks again and again. */
export async function runSources(
  dir: string,
  store: LabelStore,
  run: string,
): Promise<RunSources & { items: number }> {
  const versions = versionsOf(dir, run);
  const known = counted.get(store) ?? new Map<string, KeptCounts>();
  counted.set(store, known);
  const name = versions.map(({ digest }) => digest).join();
  let kept = known.get(name);
  if (kept === undefined) {
    const { items, ...counts } = await countsIn(dir, versions);
    kept = { ...counts, items: items.size };
    known.set(name, kept);
  }
  return { ...sourcesOf(store, run, versions, kept), items: kept.items };
}

/** By the digests of versions. */
const counted = new WeakMap<LabelStore, Map<string, KeptCounts>>();

interface Counts {
  voters: ReadonlyMap<string, number>;
  models: ReadonlyMap<string, number>;
}

interface KeptCounts extends Counts {
  items: number;
}

function versionsOf(dir: string, run: string): Version[] {
  const files = new Set(filesOfRun(run));
  return listVersions(dir).filter(({ digest }) => files.has(digest));
}

function sourcesOf(
  store: LabelStore,
  run: string,
  versions: Version[],
  { voters, models }: Counts,
): RunSources {
  const kinds = store.state().people;
  const named = (isWanted: boolean) =>
    Object.fromEntries([...voters].filter(([person]) => (kinds.get(person) === "judge") === isWanted));
  return { run, versions, people: named(false), judges: named(true), models: Object.fromEntries(models) };
}

/** Goes over the rows one by one: a version may be larger than memory. */
async function countsIn(
  dir: string,
  versions: readonly Version[],
): Promise<Counts & { items: ReadonlySet<string> }> {
  const items = new Set<string>();
  const [voters, models] = [new Map<string, number>(), new Map<string, number>()];
  const count = (counts: Map<string, number>, name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);
  for (const { digest } of versions) {
    const seen = new Set<string>();
    for await (const meta of metasOf(dir, digest)) {
      for (const model of modelsOf(meta)) count(models, model);
      // an item gives two rows of one answer, with the same judgments
      if (seen.has(meta.item)) continue;
      seen.add(meta.item);
      items.add(meta.item);
      for (const voter of votersOf(meta)) count(voters, voter);
    }
  }
  return { items, voters, models };
}

function votersOf({ votes, verdict, decidedBy }: RowMeta): string[] {
  return [
    ...(decidedBy === undefined ? [] : [decidedBy]),
    ...votes.filter((vote) => vote.verdict === verdict).map(({ person }) => person),
  ];
}

function modelsOf({ models, model }: RowMeta): string[] {
  const named = models === undefined ? [model] : [models.chosen, models.rejected];
  return named.map((name) => name ?? "unknown");
}

async function* metasOf(dir: string, digest: string): AsyncGenerator<RowMeta> {
  for await (const { value } of readRows({ path: versionPaths(dir, digest).rows })) {
    const { meta } = value;
    if (isOfExport(meta)) yield meta;
  }
}

/** Whether a row's column `meta` is an export's: a cleaning keeps a file's own columns, of which one may be called the same. */
function isOfExport(meta: unknown): meta is RowMeta {
  if (!isRecord(meta)) return false;
  const { item, votes, models = {} } = meta;
  return typeof item === "string" && Array.isArray(votes) && votes.every(isRecord) && isRecord(models);
}
