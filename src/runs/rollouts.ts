/**
 * `rollouts.jsonl.gz`: what an on-policy run sampled, a line a completion. Each rollout is appended as a separate gzip member,
 * which every reader of gzip takes for one file. A checkpoint has the length and the digest that the file had. Training needs
 * nothing of it: what is damaged or missing when a run is resumed is noted, and the run takes the same steps.
 */
import { createHash, type Hash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { constants, gunzipSync, gzipSync } from "node:zlib";
import { FormatError, messageOf } from "../base/errors.ts";
import {
  fileFailure,
  fileWork,
  ignoreErrors,
  io,
  syncDirectory,
  syncFile,
  uniqueTag,
  writeAllSync,
} from "../base/file-io.ts";
import { hashOfFile, readJsonFile, remove, writeFileAtomic } from "../base/files.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import { mostAtOnce, readFileBytes } from "../base/open-file.ts";
import type { Checkpoint } from "./checkpoints.ts";
import { cutTo } from "./json-lines.ts";
import type { RolloutRow } from "./train-events.ts";

/** What a checkpoint has of the file. */
const NOTE = "rollouts-length.json";
/** How each rollout begins: gzip without a name and a time. */
const MEMBER: Buffer = Buffer.from("1f8b080000000000", "hex");

/** What the file was at a checkpoint. */
interface Noted {
  bytes: number;
  /** Not in checkpoints of earlier versions. */
  sha256?: string;
}

/** The file of a run, written at its end. */
export class RolloutsFile {
  readonly #path: string;
  /** Length and digest of what the run has written, whatever is on the disk. */
  #bytes = 0;
  #hash: Hash = createHash("sha256");

  /** @param path - the file is made by the first rollout, or is there and cut by {@link cutTo} */
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
    try {
      appendTo(path, bytes);
    } catch (cause) {
      ignoreErrors(() => cutTo(path, before));
      const kept = "All earlier rollouts are untouched.";
      throw fileFailure({ action: "append to", path, cause, bytes: bytes.byteLength, kept });
    }
    this.#bytes += bytes.byteLength;
    this.#hash.update(bytes);
  }

  /** Makes the file safe against a power cut, and notes in a checkpoint that is being written what it is; nothing without rollouts. */
  saveInto(checkpointDir: string): void {
    const path = this.#path;
    if (this.#bytes === 0) return;
    fileWork({ action: "sync", path }, () => {
      // one that was removed meanwhile is noticed when the run is resumed
      if (existsSync(path)) syncFile(path);
      syncDirectory(dirname(path));
    });
    const noted: Noted = { bytes: this.#bytes, sha256: this.#hash.copy().digest("hex") };
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
    const noted = checkpoint === null ? null : notedIn(checkpoint.path);
    this.#startWith(Buffer.alloc(0));
    if (checkpoint === null || noted === null) {
      if (existsSync(path)) remove(path);
      return [];
    }
    const fault = this.#take(noted);
    if (fault === null) {
      if (sizeOf(path) !== noted.bytes) cutTo(path, noted.bytes);
      return [];
    }
    const what = `${basename(path)} ${fault}: ${this.#rescue(checkpoint.step)}`;
    return [`${what}. Training is not affected; the report and preftune replay lack what is lost`];
  }

  #startWith(bytes: Buffer): void {
    this.#bytes = bytes.byteLength;
    this.#hash = createHash("sha256").update(bytes);
  }

  /** Continues the file as it was at a checkpoint. @returns what keeps it from that */
  #take({ bytes, sha256 }: Noted): string | null {
    const size = sizeOf(this.#path);
    if (size === null) return "is missing";
    if (size < bytes) return `has ${size} bytes, not ${bytes}`;
    try {
      const hash = hashOfFile(this.#path, bytes);
      if (sha256 !== undefined && hash.copy().digest("hex") !== sha256)
        return "has changed since it was written";
      this.#hash = hash;
      this.#bytes = bytes;
      return null;
    } catch (cause) {
      return `cannot be read (${messageOf(cause)})`;
    }
  }

  /** Puts the file aside and keeps in its place the rollouts until `step` that can be read. @returns what became of them */
  #rescue(step: number): string {
    const path = this.#path;
    if (!existsSync(path)) return `the rollouts until step ${step} are lost`;
    const kept = readableRollouts(path)
      .map((rows) => rows.filter((row) => row.step <= step))
      .filter((rows) => rows.length > 0);
    const aside = join(dirname(path), `rollouts-damaged-${uniqueTag()}.jsonl.gz`);
    fileWork({ action: "put aside", path }, () => {
      io.renameSync(path, aside);
      syncDirectory(dirname(path));
    });
    const bytes = Buffer.concat(kept.map(packed));
    if (kept.length > 0) writeFileAtomic(path, bytes);
    this.#startWith(bytes);
    const put = `The file as it was is ${aside}`;
    if (kept.length === 0) return `no rollout until step ${step} can be read, all are lost. ${put}`;
    const what = kept.length === 1 ? "1 rollout" : `${kept.length} rollouts`;
    return `${what} until step ${step} can be read and kept, all others are lost. ${put}`;
  }
}

/** The completions in the file at `path`, in order; none where there is no file. Of a truncated file, those that are complete. */
export function readRollouts(path: string): RolloutRow[] {
  if (!existsSync(path)) return [];
  const bytes = readFileBytes(path, mostAtOnce);
  if (bytes.length === 0) return [];
  try {
    // what there is of the last member is read as well
    return rowsOf(gunzipSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH }));
  } catch (cause) {
    throw new FormatError(
      `${path}: expected completions packed with gzip, got bytes that are not (${messageOf(cause)}). ` +
        "Delete the file: training does not need it; replay and report do.",
    );
  }
}

/** The rollouts in a damaged file whose every byte is good. */
function readableRollouts(path: string): RolloutRow[][] {
  try {
    const bytes = readFileBytes(path, mostAtOnce);
    const starts: number[] = [];
    for (let at = bytes.indexOf(MEMBER); at >= 0; at = bytes.indexOf(MEMBER, at + 1)) starts.push(at);
    return starts.flatMap((from, i) => readable(bytes.subarray(from, starts[i + 1])));
  } catch {
    return [];
  }
}

function readable(member: Buffer): RolloutRow[][] {
  try {
    return [rowsOf(gunzipSync(member))];
  } catch {
    return [];
  }
}

/** The rows of complete lines. */
function rowsOf(unpacked: Buffer): RolloutRow[] {
  const text = unpacked.toString("utf8");
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => parseNumbers(line) as RolloutRow);
}

function notedIn(checkpointDir: string): Noted | null {
  const path = join(checkpointDir, NOTE);
  return existsSync(path) ? (readJsonFile(path) as Noted) : null;
}

function sizeOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.size ?? null;
}

function appendTo(path: string, bytes: Buffer): void {
  const fd = io.openSync(path, "a");
  try {
    writeAllSync(fd, bytes);
  } finally {
    io.closeSync(fd);
  }
}

function packed(rows: readonly RolloutRow[]): Buffer {
  return gzipSync(rows.map((row) => `${stringifyNumbers(row)}\n`).join(""));
}
