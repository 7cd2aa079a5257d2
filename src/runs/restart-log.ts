/** `restarts.jsonl`: how often the trainer of a run ended before its time, why, and what followed. */
import { join } from "node:path";
import { JsonLinesWriter, readJsonLines } from "./json-lines.ts";

/** A line: the trainer ended before its time. */
export interface RestartRecord {
  /** ISO 8601, UTC. */
  time: string;
  /** How it ended, in words. */
  cause: string;
  /** Exit status; null where a signal ended it. */
  status: number | null;
  signal: string | null;
  /** The step it was at; null before the first. */
  step: number | null;
  /** Step of the checkpoint it resumes from; null: from the beginning. */
  checkpoint: number | null;
  /** The number of the restart that follows, from 1, of `max_restarts`; null: there is none. */
  restart: number | null;
  max_restarts: number;
  /** Seconds until it. */
  wait: number | null;
}

/** Where a run directory has them. */
function restartLogPath(dir: string): string {
  return join(dir, "restarts.jsonl");
}

/** Adds a line. @throws {FileError} when it cannot be written */
export function addRestart(dir: string, record: RestartRecord): void {
  const writer = new JsonLinesWriter(restartLogPath(dir));
  try {
    writer.write(record);
  } finally {
    writer.close();
  }
}

/** The lines; none where nothing happened. */
export function readRestarts(dir: string): RestartRecord[] {
  return readJsonLines(restartLogPath(dir)).map(({ value }) => value as RestartRecord);
}
