/** The quick start's directory: made, marked as its own, and emptied of a former quick start. Nothing else is touched. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { fileFailure } from "../base/file-io.ts";
import { makeDirectory, readJsonFile, remove, writeFileAtomic } from "../base/files.ts";
import { comparedMethods, type MethodName } from "../methods/index.ts";
import { RunLock } from "../runs/run-lock.ts";

/** Paths in the directory of a quick start. */
export interface QuickstartPaths {
  dir: string;
  /** Marks the directory. */
  marker: string;
  data: string;
  base: string;
  results: string;
  report: string;
  lock: string;
  /** The run of a stage. */
  run(stage: string): string;
}

/** Stages in their order, each a method: what the first makes, the others start from. */
export const stages: readonly MethodName[] = ["sft", ...comparedMethods];

const format = "preftune quick start";
const ownEntries = ["data", "base", ...stages, "results.json", "report.html"];
/** What may lie in a directory that still counts as empty. */
const isHarmless = (name: string): boolean =>
  [".DS_Store", ".gitkeep", "quickstart.lock"].includes(name) || name.startsWith(".quickstart.lock.held-");

/** The paths in `dir`. */
function quickstartPaths(dir: string): QuickstartPaths {
  return {
    dir,
    marker: join(dir, "quickstart.json"),
    data: join(dir, "data"),
    base: join(dir, "base"),
    results: join(dir, "results.json"),
    report: join(dir, "report.html"),
    lock: join(dir, "quickstart.lock"),
    run: (stage) => join(dir, stage),
  };
}

/**
 * Makes `dir` ready for a quick start. A former one in it is removed; whatever else lies there stays.
 *
 * @param facts - kept in the marker, for people
 * @returns the paths, and the lock to release at the end
 * @throws {ConfigError} if `dir` holds something and is not marked as a quick start's
 * @throws {TrainingError} if another quick start is writing there
 */
export function takePlace(
  dir: string,
  facts: Readonly<Record<string, unknown>>,
): { paths: QuickstartPaths; lock: RunLock } {
  const paths = quickstartPaths(dir);
  refuseForeign(paths);
  makeDirectory(dir);
  const lock = new RunLock(paths.lock);
  try {
    for (const name of ownEntries) remove(join(dir, name));
    writeFileAtomic(paths.marker, `${JSON.stringify({ format, ...facts }, null, 2)}\n`);
    makeDirectory(paths.data);
  } catch (error) {
    lock.release();
    throw error;
  }
  return { paths, lock };
}

function refuseForeign({ dir, marker }: QuickstartPaths): void {
  if (!existsSync(dir)) return;
  const held = entriesOf(dir).filter((name) => !isHarmless(name));
  if (held.length === 0 || (existsSync(marker) && isMarker(readJsonFile(marker)))) return;
  throw new ConfigError(
    `${dir}: expected a new or empty directory, or one of a former quick start; it holds ${held.slice(0, 3).join(", ")} ` +
      `and no quickstart.json of preftune. It is left as it is: give another with --output.`,
  );
}

function entriesOf(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (cause) {
    throw fileFailure({ action: "read directory", path: dir, cause });
  }
}

function isMarker(value: unknown): boolean {
  return typeof value === "object" && value !== null && "format" in value && value.format === format;
}
