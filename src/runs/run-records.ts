/**
 * What a run resumes from besides weights and counters: its small files and its logs. Each checkpoint carries a copy of
 * them, `records.json`, from which a resumed run puts back what is damaged or missing.
 *
 * The other files of a run directory need no copy: a resumed run writes them again.
 */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { readJsonFile, remove, writeFileAtomic } from "../base/files.ts";
import { parseNumbers } from "../base/json-numbers.ts";
import { mostAtOnce, readFileBytes } from "../base/open-file.ts";
import { isSealed, readSealed } from "../base/sealed.ts";
import type { Checkpoint } from "./checkpoints.ts";
import { cutTo, wholeLines } from "./json-lines.ts";

const FILE = "records.json";
/** Objects that carry their own digest. */
const SEALED = [
  "run.json",
  "fingerprints.json",
  "template-date.json",
  "models.json",
  "evaluation-start.json",
  "pair-tokens.json",
] as const;
/** Lines that are appended. A resumed run continues those of its checkpoint; of the events later ones stay too. */
const CUT = ["metrics.jsonl", "evaluations.jsonl"] as const;
const EVENTS: readonly string[] = ["log.jsonl", "restarts.jsonl"];

/** Texts of a run's files at a checkpoint, by name. Files that were not there then are not in it. */
export type Records = Readonly<Record<string, string>>;

/** A file of a run directory that is not as it was written. */
export interface DamagedRecord {
  name: string;
  reason: string;
}

/** Copies the records of the run in `runDir` into a checkpoint that is being written, but for what is damaged already. */
export function saveRecords(runDir: string, checkpointDir: string): void {
  const sound = SEALED.filter((name) => faultOfSealed(runDir, name, {}) === null);
  const present = [...sound, ...CUT, ...EVENTS].filter((name) => existsSync(join(runDir, name)));
  const records = Object.fromEntries(present.map((name) => [name, bytesOf(runDir, name).toString("utf8")]));
  writeFileAtomic(join(checkpointDir, FILE), `${JSON.stringify(records)}\n`);
}

/**
 * The records in a checkpoint whose files have been verified; null when it is of an earlier version and has none. A run
 * that begins again has none to continue: `{}`.
 */
export function recordsOf(checkpoint: Checkpoint): Records | null {
  const isThere = checkpoint.manifest.files.some(({ name }) => name === FILE);
  return isThere ? (readJsonFile(join(checkpoint.path, FILE)) as Records) : null;
}

/** The records in `runDir` that a run continuing `records` cannot use as they are. */
export function damagedRecords(runDir: string, records: Records): DamagedRecord[] {
  const found: DamagedRecord[] = [];
  const add = (name: string, reason: string | null): void => {
    if (reason !== null) found.push({ name, reason });
  };
  for (const name of SEALED) add(name, faultOfSealed(runDir, name, records));
  for (const name of CUT) add(name, faultOfLog(runDir, name, records));
  for (const name of EVENTS) add(name, faultOfLog(runDir, name, records) ?? faultOfLines(runDir, name));
  return found;
}

function faultOfSealed(runDir: string, name: string, records: Records): string | null {
  const path = join(runDir, name);
  const copy = records[name];
  if (!existsSync(path)) return copy === undefined ? null : `${name} is missing`;
  try {
    readSealed(path, parseNumbers);
    const lostItsDigest = isSealed(copy ?? "") && !isSealed(bytesOf(runDir, name).toString("utf8"));
    return lostItsDigest ? `${name} has changed since it was written` : null;
  } catch (error) {
    return messageOf(error).replace(/\.$/, "");
  }
}

/** Lines that were added since the checkpoint are not looked at. */
function faultOfLog(runDir: string, name: string, records: Records): string | null {
  const copy = records[name];
  if (copy === undefined) return null;
  if (!existsSync(join(runDir, name))) return `${name} is missing`;
  const before = Buffer.from(copy, "utf8");
  const isSame = before.equals(bytesOf(runDir, name).subarray(0, before.length));
  return isSame ? null : `${name} has changed since it was written`;
}

function faultOfLines(runDir: string, name: string): string | null {
  if (!existsSync(join(runDir, name))) return null;
  const { damaged } = wholeLines(bytesOf(runDir, name));
  return damaged === 0 ? null : `${name} has ${damaged} damaged ${damaged === 1 ? "line" : "lines"}`;
}

/**
 * Puts the damaged records back from their copies. What has none is removed, to be made again.
 *
 * @returns what was done, a sentence for each file
 */
export function restoreRecords(
  runDir: string,
  damaged: readonly DamagedRecord[],
  records: Records,
): string[] {
  return damaged.map(({ name, reason }) => {
    const path = join(runDir, name);
    if (EVENTS.includes(name)) {
      const before = Buffer.from(records[name] ?? "", "utf8");
      const after = existsSync(path)
        ? wholeLines(bytesOf(runDir, name).subarray(before.length)).lines
        : Buffer.alloc(0);
      writeFileAtomic(path, Buffer.concat([before, after]));
      return `${reason}: events that can be read are kept`;
    }
    const copy = records[name];
    if (copy !== undefined) writeFileAtomic(path, copy);
    else remove(path);
    return copy === undefined ? `${reason}: made again` : `${reason}: put back as it was at the checkpoint`;
  });
}

/**
 * Shortens metrics and evaluations to what they were in `records`, so that the run continues them exactly as the
 * uninterrupted one would have.
 */
export function cutRecords(runDir: string, records: Records): void {
  for (const name of CUT) {
    const path = join(runDir, name);
    const bytes = Buffer.byteLength(records[name] ?? "", "utf8");
    if (existsSync(path) && statSync(path).size > bytes) cutTo(path, bytes);
  }
}

function bytesOf(runDir: string, name: string): Buffer {
  return readFileBytes(join(runDir, name), mostAtOnce);
}
