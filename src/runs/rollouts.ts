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
      const fd = io.openSync(path, "a");
      try {
        writeAllSync(fd, bytes);
      } finally {
        io.closeSync(fd);
      }
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
    let kept: RolloutRow[] = [];
    ignoreErrors(() => {
      kept = readRollouts(path).filter((row) => row.step <= step);
    });
    const bytes = kept.length === 0 ? Buffer.alloc(0) : packed(kept);
    this.#startWith(bytes.byteLength, createHash("sha256").update(bytes));
    if (!existsSync(path)) return `the completions until step ${step} are lost`;
    const aside = join(dirname(path), `rollouts-damaged-${uniqueTag()}.jsonl.gz`);
    fileWork({ action: "put aside", path }, () => io.renameSync(path, aside));
    if (kept.length > 0) writeFileAtomic(path, bytes);
    return `${kept.length} completions until step ${step} can be read and are kept, others are lost. The file as it was is ${aside}`;
  }
}

/** The completions in the file at `path`, in order; none where there is no file. Of a truncated file, those that are complete. */
export function readRollouts(path: string): RolloutRow[] {
  if (!existsSync(path)) return [];
  const bytes = readFileBytes(path, mostAtOnce);
  if (bytes.length === 0) return [];
  try {
    // what there is of the last member is read as well
    const text = gunzipSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH }).toString("utf8");
    const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
    return lines.filter((line) => line !== "").map((line) => parseNumbers(line) as RolloutRow);
  } catch (cause) {
    throw new FormatError(
      `${path}: expected completions packed with gzip, got bytes that are not (${messageOf(cause)}). ` +
        "Delete the file: training does not need it; replay and report do.",
    );
  }
}

function sizeOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.size ?? null;
}

function packed(rows: readonly RolloutRow[]): Buffer {
  return gzipSync(rows.map((row) => `${stringifyNumbers(row)}\n`).join(""));
}
