/**
 * Which rows of a run each tracker has, `trackers.json` in the run directory. It outlives the process that sends: a resumed run
 * continues the same run at the tracker, and rows that it has are not sent again.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { isRecord } from "../base/is-record.ts";
import { readSealed, sealed } from "../base/sealed.ts";
import { isEvalRow, type MetricRow } from "../runs/metrics.ts";
import type { TrackerSettings } from "./settings.ts";
import type { RemoteTracker } from "./tracker.ts";

/** What is known of one tracker. */
export interface TrackerProgress {
  /** Address and project: elsewhere the run is another one. */
  place: string;
  /** The run's key there. */
  key: string;
  /** The last steps whose training and evaluation rows it has; -1: none. */
  training: number;
  evaluation: number;
  /** Rows are on their way: when this is read again, it may have some of them. */
  isSending: boolean;
}

/** The file of a run. */
export class ProgressFile {
  readonly #path: string;
  readonly #trackers: Record<string, TrackerProgress>;

  /** @throws {FormatError} when the file is damaged */
  constructor(runDir: string) {
    this.#path = join(runDir, "trackers.json");
    this.#trackers = existsSync(this.#path) ? read(this.#path) : {};
  }

  /** What is known of a tracker, as a copy; of one that is new here, nothing. */
  of({ tracker, address, project }: TrackerSettings): TrackerProgress {
    const place = `${address} ${project}`;
    const known = this.#trackers[tracker];
    if (known?.place === place) return { ...known };
    const fresh = nothingSent(place, crypto.randomUUID().replaceAll("-", ""));
    this.keep(tracker, fresh);
    return fresh;
  }

  /** Notes what is known of a tracker and writes the file, all of it or nothing. */
  keep(tracker: RemoteTracker, progress: TrackerProgress): void {
    this.#trackers[tracker] = { ...progress };
    writeFileAtomic(this.#path, sealed(JSON.stringify(this.#trackers, null, 2)));
  }
}

/** Whether the tracker has a row. One whose step it has is not sent again, also where a resumed run made it anew. */
export function isSent(progress: TrackerProgress, row: MetricRow): boolean {
  return row.global_step <= (isEvalRow(row) ? progress.evaluation : progress.training);
}

/** Notes that the tracker has these rows. */
export function noteSent(progress: TrackerProgress, rows: readonly MetricRow[]): void {
  for (const row of rows) progress[isEvalRow(row) ? "evaluation" : "training"] = row.global_step;
  progress.isSending = false;
}

/** The progress of a run of which the tracker has nothing. */
export function nothingSent(place: string, key: string): TrackerProgress {
  return { place, key, training: -1, evaluation: -1, isSending: false };
}

function read(path: string): Record<string, TrackerProgress> {
  const trackers = readSealed(path);
  for (const value of Object.values(trackers)) {
    if (isRecord(value) && typeof value["key"] === "string" && typeof value["training"] === "number")
      continue;
    throw new FormatError(
      `${path}: expected what trackers have of the run. Delete it: the run then begins anew at each tracker.`,
    );
  }
  return trackers as unknown as Record<string, TrackerProgress>;
}
