/** From a label to the runs it went into, and from a run to the labels, people, judges and models behind its data. */
import { readJsonLines } from "../runs/json-lines.ts";
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
export interface RunLineage {
  run: string;
  versions: Version[];
  items: string[];
  /** Judgments and decisions that say what its rows say, by who gave them. */
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
export function itemLineage(dir: string, item: string, runs: readonly string[]): ItemLineage {
  const versions = listVersions(dir).filter(({ digest }) =>
    metasOf(dir, digest).some((meta) => meta.item === item),
  );
  const digests = new Set(versions.map(({ digest }) => digest));
  return {
    item,
    versions,
    runs: runs.filter((run) => filesOfRun(run).some((digest) => digests.has(digest))),
  };
}

/** The labels behind `run`, which are none where its rows are no version of this workbench. */
export function runLineage(dir: string, store: LabelStore, run: string): RunLineage {
  const files = new Set(filesOfRun(run));
  const versions = listVersions(dir).filter(({ digest }) => files.has(digest));
  const metas = versions.flatMap(({ digest }) => metasOf(dir, digest));
  const kinds = store.state().people;
  const voters = metas.flatMap(({ votes, verdict, decidedBy }) => [
    ...(decidedBy === undefined ? [] : [decidedBy]),
    ...votes.filter((vote) => vote.verdict === verdict).map(({ person }) => person),
  ]);
  const isJudge = (person: string) => kinds.get(person) === "judge";
  return {
    run,
    versions,
    items: [...new Set(metas.map(({ item }) => item))],
    people: countsOf(voters.filter((person) => !isJudge(person))),
    judges: countsOf(voters.filter(isJudge)),
    models: countsOf(metas.flatMap(modelsOf)),
  };
}

function modelsOf({ models, model }: RowMeta): string[] {
  const named = models === undefined ? [model] : [models.chosen, models.rejected];
  return named.map((name) => name ?? "unknown");
}

function countsOf(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

function metasOf(dir: string, digest: string): RowMeta[] {
  return readJsonLines(versionPaths(dir, digest).rows).flatMap(({ value }) => {
    const { meta } = value as { meta?: RowMeta };
    return meta?.item === undefined ? [] : [meta];
  });
}
