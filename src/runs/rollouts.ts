/**
 * `rollouts.jsonl.gz`: what an on-policy run sampled, a line a completion. Each rollout is appended as a separate gzip member,
 * which every reader of gzip takes for one file. A checkpoint has the length that the file had.
 */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { constants, gunzipSync, gzipSync } from "node:zlib";
import { FormatError, messageOf } from "../base/errors.ts";
import { fileFailure, io, writeAllSync } from "../base/file-io.ts";
import { readJsonFile, remove, writeFileAtomic } from "../base/files.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import { mostAtOnce, readFileBytes } from "../base/open-file.ts";
import { cutTo } from "./json-lines.ts";
import type { RolloutRow } from "./train-events.ts";

const LENGTH = "rollouts-length.json";

/**
 * Appends the rows of a rollout.
 *
 * @throws {FileError} when they cannot be written; what was written of them is taken back
 */
export function appendRollout(path: string, rows: readonly RolloutRow[]): void {
  const bytes = packed(rows);
  const before = existsSync(path) ? statSync(path).size : 0;
  const kept = "All earlier rollouts are untouched.";
  let fd: number | null = null;
  try {
    fd = io.openSync(path, "a");
    writeAllSync(fd, bytes);
  } catch (cause) {
    if (fd !== null) io.ftruncateSync(fd, before);
    throw fileFailure({ action: "append to", path, cause, bytes: bytes.byteLength, kept });
  } finally {
    if (fd !== null) io.closeSync(fd);
  }
}

/** Notes the file's length in a checkpoint that is being written; nothing in runs that have no such file. */
export function saveRolloutsLength(path: string, checkpointDir: string): void {
  if (!existsSync(path)) return;
  writeFileAtomic(join(checkpointDir, LENGTH), `${JSON.stringify({ bytes: statSync(path).size })}\n`);
}

/** Shortens the file to what it was at a checkpoint, or to what is complete of it where it is shorter; null: the run begins again. */
export function cutRollouts(path: string, checkpointDir: string | null): void {
  if (!existsSync(path)) return;
  const noted = checkpointDir === null ? null : join(checkpointDir, LENGTH);
  const bytes = noted === null || !existsSync(noted) ? 0 : (readJsonFile(noted) as { bytes: number }).bytes;
  if (bytes === 0) remove(path);
  else if (statSync(path).size > bytes) cutTo(path, bytes);
  else if (statSync(path).size < bytes) writeFileAtomic(path, packed(readRollouts(path)));
}

/** The completions in the file at `path`, in order; none where there is no file. Of a truncated file, those that are complete. */
export function readRollouts(path: string): RolloutRow[] {
  if (!existsSync(path)) return [];
  const bytes = readFileBytes(path, mostAtOnce);
  if (bytes.length === 0) return [];
  let text: string;
  try {
    // what there is of the last member is read as well
    text = gunzipSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH }).toString("utf8");
  } catch (cause) {
    throw new FormatError(
      `${path}: expected completions packed with gzip, got bytes that are not (${messageOf(cause)}). ` +
        "Delete the file: training does not need it; replay and report do.",
    );
  }
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => parseNumbers(line) as RolloutRow);
}

function packed(rows: readonly RolloutRow[]): Buffer {
  return gzipSync(rows.map((row) => `${stringifyNumbers(row)}\n`).join(""));
}
