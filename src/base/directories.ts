/**
 * Directories written all or not at all, and the way back after a crash.
 *
 * A rename cannot replace a directory that has entries, so replacing takes two renames; what a crash between them
 * leaves behind is unmistakable and {@link recoverDirectory} undoes it.
 */
import { existsSync, lstatSync, readdirSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { FileError, PreftuneError } from "./errors.ts";
import {
  errorCode,
  fileFailure,
  ignoreErrors,
  io,
  makeDirectories,
  siblingName,
  syncDirectory,
  syncTree,
  uniqueTag,
} from "./file-io.ts";
import { isRunning } from "./process-state.ts";
import { agreedAsync, alone, onFirst, type Together } from "./ranks.ts";

/** Options of {@link writeDirectoryAtomic}. */
export interface WriteDirectoryOptions {
  /** Put the new directory in place of an existing one. Without it an existing, non-empty target is refused. */
  replace?: boolean;
  /** False: not synced, for what can be had again after a power cut. Default: true. */
  durable?: boolean;
  /** Looks at the whole directory before it is put in place; what it throws, on all ranks or none, leaves the target as it was. */
  check?: ((tempDir: string) => void) | undefined;
  /** The processes that write it together, on a file system that they share. Default: this one alone. */
  ranks?: Together;
}

/** Where a directory is made before it is put in place. */
interface Staging {
  path: string;
  temp: string;
  /** Where what is at `path` is set aside. */
  aside: string;
  /** What is left after a failure, in a sentence. */
  kept: string;
}

/**
 * Makes `target` a directory with what `fill` writes, all of it or nothing.
 *
 * `fill` gets an empty directory beside the target; everything in it is synced, then one rename puts it in place.
 * When replacing, the old directory is first renamed to `.<name>.old-<tag>`. A crash between the two renames leaves it
 * there; the next write to the same target, or {@link recoverDirectory}, puts it back. Of several ranks each calls `fill` with
 * the same directory and syncs what it writes; rank 0 makes the directory and puts it in place.
 * @throws {FileError} when the target is in the way or writing fails; what was there before is kept.
 *   Errors of `fill` that are not the system's come through unchanged
 * @throws {RankFailure} on every rank, if one of several fails
 */
export async function writeDirectoryAtomic(
  target: string,
  fill: (tempDir: string) => void | Promise<void>,
  { replace = false, durable = true, check = () => {}, ranks = alone }: WriteDirectoryOptions = {},
): Promise<void> {
  const staging = onFirst(ranks, () => begin(target, replace));
  const withName = async (work: (tempDir: string) => void | Promise<void>): Promise<void> => {
    try {
      await work(staging.temp);
    } catch (cause) {
      throw named(cause, staging);
    }
  };
  try {
    await agreedAsync(ranks, () => withName(fill));
    await withName(check);
    onFirst(ranks, () => finish(staging, durable));
  } catch (cause) {
    if (ranks.rank === 0) ignoreErrors(() => io.rmSync(staging.temp));
    throw cause;
  }
}

function begin(target: string, replace: boolean): Staging {
  const path = followLink(target);
  recoverDirectory(path);
  refuseOccupied(path, replace);
  const kept = hasEntries(path)
    ? "The directory that was there before is untouched."
    : "Nothing was there before, nothing is left behind.";
  const tag = uniqueTag();
  const staging = { path, temp: siblingName(path, "new", tag), aside: siblingName(path, "old", tag), kept };
  try {
    makeDirectories(dirname(path));
    io.mkdirSync(staging.temp);
    return staging;
  } catch (cause) {
    ignoreErrors(() => io.rmSync(staging.temp));
    throw named(cause, staging);
  }
}

function finish(staging: Staging, durable: boolean): void {
  const { path, temp, aside } = staging;
  let { kept } = staging;
  try {
    if (durable) syncTree(temp);
    const isReplacing = install(temp, path, aside);
    kept = "The new content is in place, but could not be made safe against a power cut.";
    syncDirectory(dirname(path));
    if (isReplacing) ignoreErrors(() => io.rmSync(aside));
  } catch (cause) {
    throw named(cause, { path, kept });
  }
}

/** What failed in a directory's making, with its path and what was kept, where the system failed. */
function named(cause: unknown, { path, kept }: Pick<Staging, "path" | "kept">): unknown {
  const isOurs = isAbout(cause, dirname(path));
  return isOurs ? fileFailure({ action: "write directory", path, cause, kept }) : cause;
}

/**
 * Repairs what a crash inside {@link writeDirectoryAtomic} left behind; true when the old content had to be put back.
 *
 * A missing or empty target gets its set-aside predecessor back. Left-over temporary directories of dead processes are
 * removed. Call it before reading a directory that is written with `replace`; no other process may be writing it.
 * @throws {FileError} when the old directory cannot be put back; it then stays where the message says
 */
export function recoverDirectory(target: string): boolean {
  const path = followLink(target);
  const parent = dirname(path);
  if (!existsSync(parent)) return false;
  const newestFirst = (a: string, b: string): number => statSync(b).mtimeMs - statSync(a).mtimeMs;
  const asides = leftoversOf(path, "old").sort(newestFirst);
  const newest = asides[0];
  const restore = newest !== undefined && !hasEntries(path);
  if (restore) {
    try {
      io.renameSync(newest, path);
      syncDirectory(parent);
    } catch (cause) {
      throw fileFailure({ action: "restore", path, cause, kept: `The old content is in ${newest}.` });
    }
  }
  const stale = [...(restore ? asides.slice(1) : asides), ...leftoversOf(path, "new").filter(isOrphan)];
  for (const name of stale) ignoreErrors(() => io.rmSync(name));
  return restore;
}

/** `<pid>-<random>`, so that stale files of a dead process can be distinguished from running work. */
const tagPattern: RegExp = /^(\d+)-[0-9a-f]{8}$/;

function isOrphan(path: string): boolean {
  return !isRunning(Number(/(\d+)-[0-9a-f]{8}$/.exec(path)?.[1]));
}

/** Names that `siblingName` makes for things that are not to last; set-aside old content is none of them. */
const transientName = /^\..+\.(tmp|new|gone|stale)-\d+-[0-9a-f]{8}$/;

/**
 * Removes what interrupted writes and removals left in `dir`.
 *
 * @param isShared - whether other processes write in it: then only what those left that are no more
 */
export function removeLeftOvers(dir: string, isShared: boolean = false): void {
  if (!existsSync(dir)) return;
  for (const name of readdirSync(dir)) {
    const isLeft = transientName.test(name) && (!isShared || isOrphan(name));
    if (isLeft) ignoreErrors(() => io.rmSync(join(dir, name)));
  }
}

/** Removes what processes that are no more left of a writing of the file `path`; those of other paths stay. */
export function removeLeftOversOf(path: string): void {
  if (!existsSync(dirname(path))) return;
  for (const each of leftoversOf(path, "tmp").filter(isOrphan)) ignoreErrors(() => io.rmSync(each));
}

/** What {@link siblingName} made of `kind` beside `path`. */
function leftoversOf(path: string, kind: string): string[] {
  const prefix = basename(siblingName(path, kind, ""));
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix) && tagPattern.test(name.slice(prefix.length)))
    .map((name) => join(dirname(path), name));
}

/** Whether a system error concerns files under `parent` (or, like a full disk, names none). */
function isAbout(error: unknown, parent: string): boolean {
  if (errorCode(error) === null || error instanceof PreftuneError) return false;
  const { path, dest } = error as NodeJS.ErrnoException & { dest?: string };
  // of a link or a rename, where it was to be
  const named = dest ?? path;
  return named === undefined || named.startsWith(parent);
}

/** Renames `temp` to `target`; whether an old directory was set aside. */
function install(temp: string, target: string, aside: string): boolean {
  if (!hasEntries(target)) {
    io.renameSync(temp, target);
    return false;
  }
  io.renameSync(target, aside);
  try {
    io.renameSync(temp, target);
    return true;
  } catch (cause) {
    try {
      io.renameSync(aside, target);
    } catch {
      const kept = `The old content is complete in ${aside}; the next write to this path puts it back.`;
      throw fileFailure({ action: "replace", path: target, cause, kept });
    }
    throw cause;
  }
}

function refuseOccupied(path: string, replace: boolean): void {
  if (!existsSync(path)) return;
  if (!statSync(path).isDirectory()) {
    throw new FileError(
      `Cannot write directory ${path}: a file of that name exists and is kept. Choose another path.`,
    );
  }
  if (hasEntries(path) && !replace) {
    throw new FileError(
      `Cannot write directory ${path}: it exists and is not empty; expected a new or empty one. ` +
        "It is kept as it is. Choose another path.",
    );
  }
}

function hasEntries(path: string): boolean {
  return existsSync(path) && (!statSync(path).isDirectory() || readdirSync(path).length > 0);
}

function followLink(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    const link = errorCode(error) === "ENOENT" ? linkTarget(path) : null;
    // A link whose directory is missing: a crash between the two renames may have set that directory aside.
    return link === null ? resolve(path) : followLink(resolve(dirname(path), link));
  }
}

function linkTarget(path: string): string | null {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(path) : null;
}
