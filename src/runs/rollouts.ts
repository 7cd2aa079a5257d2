/**
 * `rollouts.jsonl.gz`: what an on-policy run sampled, a line a completion. Each rollout is appended as a separate gzip member,
 * which every reader of gzip takes for one file. A checkpoint has the length and the digest that the file had. Training needs
 * nothing of it: what is damaged or missing when a run is resumed is noted, and the run takes the same steps.
 */
import { createHash, type Hash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { FileError, FormatError, messageOf } from "../base/errors.ts";
import {
  appendBytes,
  fileFailure,
  fileWork,
  ignoreErrors,
  io,
  siblingName,
  syncDirectory,
  syncFile,
  uniqueTag,
} from "../base/file-io.ts";
import { hashOfFile, readJsonFile, remove, writeFileAtomic } from "../base/files.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import { packedLines, packedMember } from "../base/packed-lines.ts";
import type { Checkpoint } from "./checkpoints.ts";
import { cutTo } from "./json-lines.ts";
import type { RolloutRow } from "./train-events.ts";

/** What a checkpoint has of the file. */
const NOTE = "rollouts-length.json";

/** Characters from which on a member of gzip ends. */
const memberLength = 2 ** 24;

/** The file of a run, written at its end. */
export class RolloutsFile {
  readonly #path: string;
  /** Length and digest of what the run has written, whatever is on the disk. */
  #bytes = 0;
  #hash: Hash = createHash("sha256");

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Appends the rows of a rollout.
   *
   * @throws {FileError} when they cannot be written; what was written of them is taken back
   */
  append(rows: readonly RolloutRow[]): void {
    const path = this.#path;
    const bytes = packed(rows);
    const before = sizeOf(path) ?? 0;
    const kept = "All earlier rollouts are untouched.";
    try {
      appendBytes(path, bytes);
    } catch (cause) {
      ignoreErrors(() => cutTo(path, before));
      throw fileFailure({ action: "append to", path, cause, bytes: bytes.byteLength, kept });
    }
    this.#bytes += bytes.byteLength;
    this.#hash.update(bytes);
  }

  /** Makes the file safe against a power cut and notes what it is in a checkpoint that is being written; nothing without rollouts. */
  saveInto(checkpointDir: string): void {
    const path = this.#path;
    if (this.#bytes === 0) return;
    fileWork({ action: "sync", path }, () => {
      // one that was removed meanwhile is noticed when the run is resumed
      if (existsSync(path)) syncFile(path);
      syncDirectory(dirname(path));
    });
    const noted = { bytes: this.#bytes, sha256: this.#hash.copy().digest("hex") };
    writeFileAtomic(join(checkpointDir, NOTE), `${JSON.stringify(noted)}\n`);
  }

  /**
   * Shortens the file to what it was at a checkpoint. One that is not what it was is put aside, and what can be read of it kept.
   *
   * @param checkpoint - null: the run begins again
   * @returns what is lost, in words
   */
  cutTo(checkpoint: Pick<Checkpoint, "path" | "step"> | null): string[] {
    const path = this.#path;
    const note = checkpoint === null ? null : join(checkpoint.path, NOTE);
    if (checkpoint === null || note === null || !existsSync(note)) {
      this.#startWith(0, createHash("sha256"));
      remove(path);
      return [];
    }
    const { bytes, sha256 } = readJsonFile(note) as { bytes: number; sha256?: string };
    const fault = this.#take(bytes, sha256 ?? null);
    if (fault === null) return [];
    const what = `${basename(path)} ${fault}: ${this.#rescue(checkpoint.step)}`;
    return [`${what}. Training is not affected; the report and preftune replay lack what is lost`];
  }

  #startWith(bytes: number, hash: Hash): void {
    this.#bytes = bytes;
    this.#hash = hash;
  }

  /**
   * Continues the file as it was at a checkpoint.
   *
   * @param digest - null: of an earlier version, which had none
   * @returns what keeps it from that
   */
  #take(bytes: number, digest: string | null): string | null {
    const size = sizeOf(this.#path);
    if (size === null) return "is missing";
    if (size < bytes) return `has ${size} bytes, not ${bytes}`;
    try {
      const hash = hashOfFile(this.#path, bytes);
      if (![null, hash.copy().digest("hex")].includes(digest)) return "has changed since it was written";
      this.#startWith(bytes, hash);
    } catch (cause) {
      return `cannot be read (${messageOf(cause)})`;
    }
    if (size > bytes) cutTo(this.#path, bytes);
    return null;
  }

  /** Puts the file aside and keeps in its place the completions until `step` that can be read. @returns what became of them */
  #rescue(step: number): string {
    const path = this.#path;
    this.#startWith(0, createHash("sha256"));
    if (!existsSync(path)) return `the completions until step ${step} are lost`;
    const temp = siblingName(path, "tmp", uniqueTag());
    const rescued = new RolloutsFile(temp);
    let kept = 0;
    for (const rows of readableRollouts(path)) {
      const own = rows.filter((row) => row.step <= step);
      if (own.length > 0) rescued.append(own);
      kept += own.length;
    }
    const aside = join(dirname(path), `rollouts-damaged-${uniqueTag()}.jsonl.gz`);
    fileWork({ action: "put aside", path }, () => {
      if (kept > 0) syncFile(temp);
      io.renameSync(path, aside);
      if (kept > 0) io.renameSync(temp, path);
      syncDirectory(dirname(path));
    });
    this.#startWith(rescued.#bytes, rescued.#hash);
    return `${kept} completions until step ${step} can be read and are kept, others are lost. The file as it was is ${aside}`;
  }
}

/** What can be read of a damaged file, a rollout at a time. */
function* readableRollouts(path: string): Generator<RolloutRow[]> {
  let rows: RolloutRow[] = [];
  try {
    for (const row of rolloutsIn(path)) {
      if (rows.length > 0 && rows[0]?.rollout !== row.rollout) {
        yield rows;
        rows = [];
      }
      rows.push(row);
    }
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof FileError)) throw error;
  }
  if (rows.length > 0) yield rows;
}

/** The completions in the file at `path`, all of them: {@link rolloutsIn} needs no memory for them. */
export function readRollouts(path: string): RolloutRow[] {
  return [...rolloutsIn(path)];
}

/**
 * The completions in the file at `path`, in order, one after the other; none where there is no file. Of a truncated file, those that
 * are complete.
 *
 * @throws {FormatError} where it is damaged, after those before the damage
 */
export function* rolloutsIn(path: string): Generator<RolloutRow> {
  if (!existsSync(path)) return;
  let count = 0;
  try {
    for (const line of packedLines(path)) {
      const row = parseNumbers(line) as RolloutRow;
      count++;
      yield row;
    }
  } catch (cause) {
    throw damaged(path, cause, `The ${count} completions before can be read.`);
  }
}

/**
 * The completions in what was appended at once at the byte `from`, and where that ends; null where nothing more is complete yet.
 *
 * @throws {FormatError} where it is damaged
 */
export function rolloutsAt(path: string, from: number): { rows: RolloutRow[]; end: number } | null {
  try {
    const member = packedMember(path, from);
    if (member === null) return null;
    const lines = member.content.toString("utf8").split("\n").filter(Boolean);
    return { rows: lines.map((line) => parseNumbers(line) as RolloutRow), end: member.end };
  } catch (cause) {
    throw damaged(path, cause, "The completions before can be read.");
  }
}

/** What is thrown for `cause`: an error that names file and remedy where the file is damaged. */
function damaged(path: string, cause: unknown, left: string): unknown {
  if (!(cause instanceof FormatError || cause instanceof SyntaxError)) return cause;
  const fault = cause instanceof FormatError ? cause.message : `${path}: ${cause.message}`;
  return new FormatError(
    `${fault} ${left} Move the file to another folder, and the report is made without completions; training does not need it, preftune replay does.`,
    { cause },
  );
}

function sizeOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.size ?? null;
}

/** As members of gzip: one, where the rows are not very many. */
function packed(rows: readonly RolloutRow[]): Buffer {
  const members: Buffer[] = [];
  let text = "";
  for (const [i, row] of rows.entries()) {
    text += `${stringifyNumbers(row)}\n`;
    if (text.length < memberLength && i < rows.length - 1) continue;
    members.push(gzipSync(text));
    text = "";
  }
  return Buffer.concat(members);
}
