/**
 * Versions of data: rows that no longer change, in a folder named by the SHA-256 of its rows. A run's fingerprints.json keeps the
 * same digest of each file that it reads, which leads from a run to its version and back.
 *
 *   DIR/versions/DIGEST/rows.jsonl     the rows
 *                       removed.jsonl  rows that cleaning took out, each with the filter and where it was
 *                       version.json   what it was made of, by which rules, with counts
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, DataError } from "../base/errors.ts";
import { io } from "../base/file-io.ts";
import {
  readJsonFile,
  removeLeftOvers,
  sha256File,
  sha256FileInTurns,
  writeDirectoryAtomic,
  writeFileAtomic,
} from "../base/files.ts";
import { linesIn } from "../base/lines.ts";
import { filePieces } from "../base/open-file.ts";
import type { ColumnMapping } from "../config/datasets.ts";
import { isRun, readFingerprints, runPaths } from "../runs/run-directory.ts";
import { cleanRowOf } from "./clean/clean-row.ts";
import { quickFindings } from "./clean/filters.ts";
import { LineSink } from "./line-sink.ts";
import { openRowIndex, type RowIndex, rowIn } from "./row-index.ts";

/** What a version is told of. */
export interface VersionAbout {
  /** What made it. */
  by: "export" | "clean" | "round";
  /** Digests of the files or versions it was made of; of an export, none. */
  sources: Record<string, string>;
  /** Names of columns in its rows, where they are not preftune's. */
  columns?: ColumnMapping;
  /** The rules or filters it was made by. */
  rules: unknown;
  counts: unknown;
}

/** A version as it lies on the disk. */
export interface Version extends VersionAbout {
  /** SHA-256 of `rows.jsonl`, 64 hexadecimal digits. */
  digest: string;
  rows: number;
  /** When it was made first, ISO 8601. */
  created: string;
}

/** A row that was taken out. */
export interface RemovedRow {
  /** The filter that took it. */
  filter: string;
  /** File and line it came from. */
  origin: string;
  /** What the filter found in it. */
  detail?: string;
  row: unknown;
}

/** The files of a version. */
export function versionPaths(
  dir: string,
  digest: string,
): Record<"folder" | "rows" | "removed" | "about", string> {
  const folder = join(dir, "versions", digest);
  return {
    folder,
    rows: join(folder, "rows.jsonl"),
    removed: join(folder, "removed.jsonl"),
    about: join(folder, "version.json"),
  };
}

/**
 * Keeps rows as a version. Rows that a version holds already make no second one.
 *
 * @throws {DataError} where there are no rows
 * @throws {FileError} where it cannot be written
 */
export async function saveVersion(
  dir: string,
  rows: readonly unknown[],
  about: VersionAbout,
  removed: readonly RemovedRow[] = [],
): Promise<Version> {
  using draft = new VersionDraft(dir);
  for (const row of rows) draft.keep(row);
  for (const row of removed) draft.take(row);
  return await draft.save(about);
}

/** A version in the making, row by row. What is not saved leaves nothing. */
export class VersionDraft {
  readonly #dir: string;
  readonly #rows: LineSink;
  /** Null until a row is taken out. */
  #removed: LineSink | null = null;

  /** @throws {FileError} where it cannot be written */
  constructor(dir: string) {
    this.#dir = dir;
    removeLeftOvers(join(dir, "versions"), true);
    this.#rows = new LineSink(join(dir, "versions", "rows.jsonl"));
  }

  keep(row: unknown): void {
    this.#rows.write(row);
  }

  /** @throws {FileError} where it cannot be written */
  take(row: RemovedRow): void {
    this.#removed ??= new LineSink(join(this.#dir, "versions", "removed.jsonl"));
    this.#removed.write(row);
  }

  /** The version, which is one that there is already where its rows are the same. @throws as {@link saveVersion} */
  async save(about: VersionAbout): Promise<Version> {
    const digest = this.#rows.end();
    this.#removed?.end();
    if (this.#rows.rows === 0)
      throw new DataError(`expected rows for a version, got none: ${whyNone[about.by]}`);
    const paths = versionPaths(this.#dir, digest);
    if (existsSync(paths.about)) {
      // in turns with other work: a dashboard waits for it
      if ((await sha256FileInTurns(paths.rows)) !== digest) throw new ConfigError(changedWords(paths.rows));
      return versionAbout(this.#dir, digest);
    }
    const created = new Date().toISOString();
    const version: Version = { digest, rows: this.#rows.rows, created, ...about };
    await writeDirectoryAtomic(paths.folder, (into) => {
      io.renameSync(this.#rows.temp ?? "", join(into, "rows.jsonl"));
      if (this.#removed !== null) io.renameSync(this.#removed.temp ?? "", join(into, "removed.jsonl"));
      writeFileAtomic(join(into, "version.json"), `${JSON.stringify(version, null, 2)}\n`);
    });
    return version;
  }

  [Symbol.dispose](): void {
    this.#rows[Symbol.dispose]();
    this.#removed?.[Symbol.dispose]();
  }
}

/** Why there are no rows, and what to do. */
const whyNone: Readonly<Record<VersionAbout["by"], string>> = {
  export: "nothing that was judged gives one by these rules. Judge pairs, or choose other rules.",
  clean: "the filters take every row. Take filters out.",
  round:
    "of each pair of answers that the judgments make, its own label says otherwise. Judge more of the round's pairs, or decide those that people see differently, and run it again.",
};

/** What a version says of itself. @throws {ConfigError} where there is no such version */
function versionAbout(dir: string, digest: string): Version {
  const { about } = versionPaths(dir, digest);
  if (!existsSync(about)) {
    const known = listVersions(dir).map((version) => version.digest.slice(0, 12));
    throw new ConfigError(
      `${dir}: expected a version ${digest}, there are ${known.join(", ") || "none"}. Export labels to make one.`,
    );
  }
  return readJsonFile(about) as Version;
}

/** @throws {ConfigError} where there is no such version, or its rows are not those it is named by */
export function readVersion(dir: string, digest: string): Version {
  const version = versionAbout(dir, digest);
  const { rows } = versionPaths(dir, digest);
  if (sha256File(rows) === digest) return version;
  throw new ConfigError(changedWords(rows));
}

/** A version with the ways to its rows: those that are in it, and those that were taken out. */
export interface OpenVersion {
  version: Version;
  /** By the findings of the quick filters. */
  kept: RowIndex;
  /** By the filter that took them; null: none were taken out. */
  removed: RowIndex | null;
}

/**
 * Opens a version to look at, by indexes that are made once.
 *
 * @throws {ConfigError} as {@link readVersion}, {@link DataError} where a line of its files is no row
 */
export async function openVersion(dir: string, digest: string): Promise<OpenVersion> {
  const version = versionAbout(dir, digest);
  const { rows, removed } = versionPaths(dir, digest);
  const { columns = null } = version;
  const find = await quickFindings();
  const indexAt = (name: string): string => join(dir, "index", `${digest}-${name}.idx`);
  const kept = await openRowIndex(rows, indexAt("rows"), (value, line) =>
    find(cleanRowOf({ row: { origin: { file: "rows.jsonl", line }, value }, columns })),
  );
  if (kept.digest !== digest) throw new ConfigError(changedWords(rows));
  const taken = existsSync(removed)
    ? await openRowIndex(removed, indexAt("removed"), (value) => [String(value["filter"])])
    : null;
  return { version, kept, removed: taken };
}

function changedWords(rows: string): string {
  return `${rows}: expected the rows that the version is named by, got others: it was changed. Versions do not change; put the rows back.`;
}

/** All versions, the oldest first. */
export function listVersions(dir: string): Version[] {
  const folder = join(dir, "versions");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /^[0-9a-f]{64}$/.test(name) && existsSync(versionPaths(dir, name).about))
    .map((name) => readJsonFile(versionPaths(dir, name).about) as Version)
    .toSorted((one, other) => one.created.localeCompare(other.created));
}

/** The rows that were taken out; none of a version that nothing was taken out of. */
export function removedRows(dir: string, digest: string): RemovedRow[] {
  const { removed } = versionPaths(dir, digest);
  if (!existsSync(removed)) return [];
  const lines = Array.from(linesIn(filePieces(removed)), (line) => line.toString("utf8"));
  return lines.map((line, i) => rowIn(line, `${removed}:${i + 1}`) as unknown as RemovedRow);
}

/** Digests of the files that a run read. */
export function filesOfRun(run: string): string[] {
  const { fingerprints } = runPaths(run);
  if (!isRun(run) || !existsSync(fingerprints)) return [];
  return Object.entries(readFingerprints(fingerprints).data).flatMap(([name, digest]) =>
    name === "rows" ? [] : [digest],
  );
}
