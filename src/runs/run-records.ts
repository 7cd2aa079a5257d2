/**
 * What a run resumes from besides weights and counters: its small files and its logs. Each checkpoint carries a copy of
 * them, `records.json`, from which a resumed run puts back what is damaged or missing. Of a log that is too long to be copied with
 * each checkpoint it has length and digest.
 *
 * The other files of a run directory need no copy: a resumed run writes them again.
 */
import { createHash, type Hash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { messageOf } from "../base/errors.ts";
import {
  createFileSync,
  fileWork,
  formatBytes,
  io,
  putInPlace,
  siblingName,
  uniqueTag,
  writeAllSync,
} from "../base/file-io.ts";
import { hashOfFile, remove, sha256, writeFileAtomic } from "../base/files.ts";
import { parseNumbers } from "../base/json-numbers.ts";
import { filePieces, mostAtOnce, readFileBytes } from "../base/open-file.ts";
import { isSealed, readSealed } from "../base/sealed.ts";
import type { Checkpoint } from "./checkpoints.ts";
import { cutAfterStep, cutTo, damagedLines, wholeLines } from "./json-lines.ts";

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

/** Bytes of a log up to which a checkpoint copies it. */
export const mostCopied: number = 8 * 1024 * 1024;

/** What a log was at a checkpoint. */
interface LogState {
  bytes: number;
  sha256: string;
}

/** A run's files at a checkpoint, by name: their texts, of long logs what they were. Files that were not there then are not in it. */
export type Records = Readonly<Record<string, string | LogState>>;

/** A file of a run directory that is not as it was written. */
export interface DamagedRecord {
  name: string;
  reason: string;
}

/** Copies the records of the run in a directory into its checkpoints, but for what is damaged already. */
export class RecordCopies {
  readonly #runDir: string;
  /** Digests of long logs as far as they have been read: each checkpoint reads what was added. */
  readonly #long: Map<string, { bytes: number; hash: Hash }> = new Map();

  constructor(runDir: string) {
    this.#runDir = runDir;
  }

  /** Copies them into a checkpoint that is being written. */
  saveInto(checkpointDir: string): void {
    const runDir = this.#runDir;
    const sound = SEALED.filter((name) => faultOfSealed(runDir, name, {}) === null);
    const present = (name: string): boolean => existsSync(join(runDir, name));
    const records: Records = Object.fromEntries([
      ...sound.filter(present).map((name) => [name, bytesOf(runDir, name).toString("utf8")]),
      ...[...CUT, ...EVENTS].filter(present).map((name) => [name, this.#log(name)]),
    ]);
    writeFileAtomic(join(checkpointDir, FILE), `${JSON.stringify(records)}\n`);
  }

  #log(name: string): string | LogState {
    const path = join(this.#runDir, name);
    const { size } = statSync(path);
    if (size <= mostCopied) return bytesOf(this.#runDir, name).toString("utf8");
    const known = this.#long.get(name) ?? { bytes: 0, hash: createHash("sha256") };
    this.#long.set(name, known);
    fileWork({ action: "read", path }, () => {
      for (const piece of filePieces(path, { from: known.bytes, to: size })) {
        known.hash.update(piece);
        known.bytes += piece.length;
      }
    });
    return { bytes: known.bytes, sha256: known.hash.copy().digest("hex") };
  }
}

/**
 * The records in a checkpoint whose files have been verified; null when it is of an earlier version and has none. A run
 * that begins again has none to continue: `{}`.
 */
export function recordsOf(checkpoint: Checkpoint): Records | null {
  const isThere = checkpoint.manifest.files.some(({ name }) => name === FILE);
  // earlier versions copied logs of any length
  return isThere ? (JSON.parse(bytesOf(checkpoint.path, FILE).toString("utf8")) as Records) : null;
}

/** The text of a file at a checkpoint; null where it was not there or is not copied. */
export function copyIn(records: Records, name: string): string | null {
  const copy = records[name];
  return typeof copy === "string" ? copy : null;
}

function stateOf(copy: string | LogState): LogState {
  if (typeof copy !== "string") return copy;
  return { bytes: Buffer.byteLength(copy, "utf8"), sha256: sha256(copy) };
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
  const copy = copyIn(records, name);
  if (!existsSync(path)) return copy === null ? null : `${name} is missing`;
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
  const before = stateOf(copy);
  const isSame = hashOfFile(join(runDir, name), before.bytes).digest("hex") === before.sha256;
  return isSame ? null : `${name} has changed since it was written`;
}

function faultOfLines(runDir: string, name: string): string | null {
  const damaged = damagedLines(join(runDir, name));
  return damaged === 0 ? null : `${name} has ${damaged} damaged ${damaged === 1 ? "line" : "lines"}`;
}

/** A run's records at a step: those of the checkpoint it resumes from. */
interface RecordsAt {
  records: Records;
  step: number;
}

/**
 * Puts the damaged records back from their copies. What has none is removed, to be made again; of a long log what can be read is kept.
 *
 * @returns what was done, a sentence for each file
 */
export function restoreRecords(runDir: string, damaged: readonly DamagedRecord[], at: RecordsAt): string[] {
  return damaged.map(({ name, reason }) => {
    const copy = at.records[name];
    const isLong = copy !== undefined && typeof copy !== "string";
    const done = isLong ? keepReadable(runDir, name, at.step) : putBack(runDir, name, copy ?? null);
    return `${reason}: ${done}`;
  });
}

function putBack(runDir: string, name: string, copy: string | null): string {
  const path = join(runDir, name);
  if (EVENTS.includes(name)) {
    const before = Buffer.from(copy ?? "", "utf8");
    const after = Array.from(wholeLines(path, before.length), ({ bytes }) => Buffer.from(bytes));
    writeFileAtomic(path, Buffer.concat([before, ...after]));
    return "events that can be read are kept";
  }
  if (copy !== null) writeFileAtomic(path, copy);
  else remove(path);
  return copy === null ? "made again" : "put back as it was at the checkpoint";
}

/** Puts a long log aside and keeps in its place the rows until `step` that can be read, and all such events. */
function keepReadable(runDir: string, name: string, step: number): string {
  const path = join(runDir, name);
  const why = `it is longer than the ${formatBytes(mostCopied)} of a log that a checkpoint copies`;
  const after = "Training is not affected; the report lacks what is lost";
  if (!existsSync(path)) return `${why}, and what was in it until step ${step} is lost. ${after}`;
  const fresh = siblingName(path, "tmp", uniqueTag());
  const aside = join(runDir, `${basename(name, ".jsonl")}-damaged-${uniqueTag()}.jsonl`);
  let kept = 0;
  fileWork({ action: "write", path: fresh }, () =>
    createFileSync(fresh, (fd) => {
      for (const { bytes, value } of wholeLines(path)) {
        if (!EVENTS.includes(name) && !(Number(value["global_step"]) <= step)) continue;
        writeAllSync(fd, bytes);
        kept += 1;
      }
    }),
  );
  fileWork({ action: "put aside", path }, () => io.renameSync(path, aside));
  putInPlace(fresh, path);
  return `${why}; ${kept} lines can be read and are kept, others are lost. The file as it was is ${aside}. ${after}`;
}

/**
 * Shortens metrics and evaluations to what they were in `records`, so that the run continues them exactly as the
 * uninterrupted one would have.
 */
export function cutRecords(runDir: string, { records, step }: RecordsAt): void {
  for (const name of CUT) {
    const path = join(runDir, name);
    if (!existsSync(path)) continue;
    const copy = records[name] ?? "";
    const { bytes } = stateOf(copy);
    // one of which lines were lost has rows of later steps before these bytes
    if (typeof copy !== "string" && faultOfLog(runDir, name, records) !== null) cutAfterStep(path, step);
    else if (statSync(path).size > bytes) cutTo(path, bytes);
  }
}

function bytesOf(runDir: string, name: string): Buffer {
  return readFileBytes(join(runDir, name), mostAtOnce);
}
