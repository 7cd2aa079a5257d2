/** Sends a run's rows to trackers, each at its own pace, until the run has ended and each has all rows or no time is left. */
import { messageOf } from "../base/errors.ts";
import type { MetricRow } from "../runs/metrics.ts";
import { runPaths } from "../runs/run-directory.ts";
import { Mlflow } from "./mlflow.ts";
import { isSent, noteSent, nothingSent, ProgressFile, type TrackerProgress } from "./progress.ts";
import { RowCursor } from "./row-cursor.ts";
import { type TrackerSettings, trackerSettings } from "./settings.ts";
import type { RemoteTracker, RunEnd, TrackedRun, Tracker, TrackerReport } from "./tracker.ts";
import { Trackio } from "./trackio.ts";
import { Wandb } from "./wandb.ts";

/** Milliseconds between two looks at the file, and until a tracker that failed is asked again: doubled up to the second. */
const pauseMs = 1000;
const longestPauseMs = 60_000;
/** Rows of one request. */
const mostRows = 100;

/** What is sent where. Plain data. */
export interface SendJob {
  runDir: string;
  trackers: readonly RemoteTracker[];
  project: string | null;
  run: Omit<TrackedRun, "key">;
}

/** What the sender is told while it works. */
export interface SendControl {
  /** How the run ended; null: it goes on. */
  end(): RunEnd | null;
  /** When the last attempt may begin, by `performance.now()`; later than any time while the run goes on. */
  deadline(): number;
  /** Resolves after `ms`, or when the end is told meanwhile. */
  pause(ms: number): Promise<void>;
  /** A tracker has failed for the first time. */
  onTrouble(tracker: RemoteTracker, why: string): void;
}

/** One run, sent to its trackers. */
export class RunSender {
  readonly #job: SendJob;
  readonly #senders: TrackerSender[];

  /**
   * @throws {ConfigError} when a tracker cannot be reached from here
   * @throws {FormatError} when trackers.json is damaged
   */
  constructor(job: SendJob, control: SendControl) {
    this.#job = job;
    const file = new ProgressFile(job.runDir);
    this.#senders = job.trackers.map(
      (tracker) => new TrackerSender(trackerSettings(tracker, job.project), file, job, control),
    );
  }

  /** Resolves when every tracker has all rows and the end, or no time is left. */
  async run(): Promise<void> {
    await Promise.all(this.#senders.map((sender) => sender.follow()));
  }

  /** What each tracker has now. */
  reports(): TrackerReport[] {
    const reports = this.#senders.map((sender): TrackerReport => sender.report());
    const cursor = new RowCursor(runPaths(this.#job.runDir).metrics);
    for (let rows = cursor.next(); rows.length > 0; rows = cursor.next()) {
      for (const [i, sender] of this.#senders.entries()) {
        const sent = rows.filter((row) => sender.has(row)).length;
        const report = reports[i];
        if (report === undefined) continue;
        report.sent += sent;
        report.unsent += rows.length - sent;
      }
    }
    return reports;
  }
}

/** One run, sent to one tracker. */
class TrackerSender {
  readonly #name: RemoteTracker;
  readonly #tracker: Tracker;
  readonly #file: ProgressFile;
  readonly #run: TrackedRun;
  readonly #control: SendControl;
  readonly #metrics: string;
  /** What was sent, and of it what the tracker has for certain: the file holds that. */
  #sent: TrackerProgress;
  #kept: TrackerProgress;
  #cursor: RowCursor;
  /** Rows that were read and not sent yet. */
  #waiting: MetricRow[] = [];
  #isOpen = false;
  /** See {@link OpenedRun}. */
  #isKept = true;
  #isClosed = false;
  #isTold = false;
  #trouble: string | null = null;

  constructor(settings: TrackerSettings, file: ProgressFile, job: SendJob, control: SendControl) {
    this.#name = settings.tracker;
    this.#tracker = trackerAt(settings, job.runDir);
    this.#kept = file.of(settings);
    this.#sent = { ...this.#kept };
    this.#file = file;
    this.#run = { ...job.run, key: this.#kept.key };
    this.#control = control;
    this.#metrics = runPaths(job.runDir).metrics;
    this.#cursor = new RowCursor(this.#metrics);
  }

  has(row: MetricRow): boolean {
    return isSent(this.#kept, row);
  }

  report(): TrackerReport {
    return { tracker: this.#name, sent: 0, unsent: 0, isClosed: this.#isClosed, trouble: this.#trouble };
  }

  async follow(): Promise<void> {
    let pause = pauseMs;
    try {
      for (;;) {
        try {
          if (await this.#advance()) return;
          pause = pauseMs;
        } catch (error) {
          this.#failed(messageOf(error));
          if (performance.now() + pause > this.#control.deadline()) return;
          await this.#control.pause(pause);
          pause = Math.min(longestPauseMs, 2 * pause);
        }
      }
    } finally {
      this.#tracker.dispose();
    }
  }

  /** Sends some rows, waits for some, or closes the run; whether it is closed. */
  async #advance(): Promise<boolean> {
    // the end is asked for first: rows that were written before it are then read
    const end = this.#control.end();
    if (this.#waiting.length === 0)
      this.#waiting = this.#cursor.next().filter((row) => !isSent(this.#sent, row));
    const isAllSent = this.#waiting.length === 0;
    if (isAllSent && end === null) await this.#control.pause(this.#cursor.isAtEnd ? pauseMs : 0);
    if (isAllSent && (end === null || !this.#cursor.isAtEnd)) return false;
    if (!this.#isOpen && !(await this.#open())) return false;
    if (!isAllSent) await this.#send(this.#waiting.slice(0, mostRows));
    else if (end !== null) await this.#close(end);
    return isAllSent;
  }

  /** Begins or continues the run; false where the tracker has nothing of what was sent to it before: all rows are then to be sent. */
  async #open(): Promise<boolean> {
    const { isThere, isKept } = await this.#tracker.open(this.#run);
    this.#isOpen = true;
    this.#isKept = isKept;
    const nothing = nothingSent(this.#kept.place, this.#kept.key);
    if (isThere || (this.#kept.training === nothing.training && this.#kept.evaluation === nothing.evaluation))
      return true;
    this.#keep(nothing);
    this.#restart();
    return false;
  }

  async #send(rows: readonly MetricRow[]): Promise<void> {
    const mayBeThere = this.#sent.isSending;
    this.#sent.isSending = true;
    this.#keep({ ...this.#kept, isSending: true });
    await this.#tracker.send(rows, mayBeThere);
    noteSent(this.#sent, rows);
    if (this.#isKept) this.#keep(this.#sent);
    this.#waiting = this.#waiting.slice(rows.length);
    this.#trouble = null;
  }

  async #close(end: RunEnd): Promise<void> {
    await this.#tracker.close(end);
    this.#keep(this.#sent);
    this.#isClosed = true;
    this.#trouble = null;
  }

  #keep(progress: TrackerProgress): void {
    this.#kept = { ...progress };
    this.#file.keep(this.#name, progress);
  }

  /** Rows are read again from the first that the tracker does not have for certain. */
  #restart(): void {
    this.#sent = { ...this.#kept };
    this.#cursor = new RowCursor(this.#metrics);
    this.#waiting = [];
  }

  #failed(why: string): void {
    this.#isOpen = false;
    if (!this.#isKept) this.#restart();
    this.#trouble = why;
    if (!this.#isTold) this.#control.onTrouble(this.#name, why);
    this.#isTold = true;
  }
}

function trackerAt(settings: TrackerSettings, runDir: string): Tracker {
  if (settings.tracker === "mlflow") return new Mlflow(settings);
  return settings.tracker === "trackio" ? new Trackio(settings) : new Wandb(settings, runDir);
}
