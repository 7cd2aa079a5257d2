/** The trainer's side of trackers: a process beside it reads the run's metrics and sends them; nothing here waits before the end. */
import { shellWord } from "../base/shell-word.ts";
import { warn } from "../base/warn.ts";
import { flatConfig } from "../config/keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import { type Child, forkChild, programBeside } from "../process/child.ts";
import type { Tracking } from "../runs/recorder.ts";
import { runName } from "../runs/tracker-names.ts";
import type { SendJob } from "./sender.ts";
import type { SenderMessage, SenderOrder } from "./sender-child.ts";
import { trackerSettings } from "./settings.ts";
import { type RemoteTracker, type RunEnd, remoteTrackers, type TrackerReport } from "./tracker.ts";

/** At its end a run waits for its trackers at most this share of the time it took, and these bounds. */
const waitedShare = 0.01;
const waitedMs = { least: 5000, most: 60_000 };
/** What the process has beyond that to count what it could not send. */
const countingMs = 5000;

/** The trackers of `report_to` that rows are sent to. */
export function remoteOf(names: readonly string[]): RemoteTracker[] {
  return remoteTrackers.filter((tracker) => names.includes(tracker));
}

/** What is sent of a run to `trackers`. */
export function sendJobOf(config: RunConfig, runDir: string, trackers: readonly RemoteTracker[]): SendJob {
  const { resume_from_checkpoint: _, ...shown } = flatConfig(config);
  const run = { name: runName(config, runDir), config: shown };
  return { runDir, trackers, project: config.project, run };
}

/**
 * What begins to send the run that `config` describes; null where it has no tracker that rows are sent to.
 *
 * @throws {ConfigError} when a tracker cannot be reached from here
 */
export function trackingOf(config: RunConfig): (() => Tracking) | null {
  const trackers = remoteOf(config.report_to);
  if (trackers.length === 0) return null;
  for (const tracker of trackers) trackerSettings(tracker, config.project);
  return () => new SenderProcess(sendJobOf(config, config.output_dir, trackers));
}

/** The process that sends one run. */
class SenderProcess implements Tracking {
  readonly #job: SendJob;
  readonly #child: Child;
  readonly #began = performance.now();
  readonly #ended = Promise.withResolvers<void>();
  #reports: TrackerReport[] | null = null;

  constructor(job: SendJob) {
    this.#job = job;
    this.#child = forkChild(
      programBeside(import.meta, "sender-child"),
      {
        onMessage: (message) => this.#hear(message as SenderMessage),
        onEnd: (how) => this.#lost(how),
      },
      { stdio: ["ignore", "ignore", "pipe", "ipc"] },
    );
    this.#tell({ type: "start", job });
    this.#child.holdEventLoop(false);
  }

  #tell(order: SenderOrder): void {
    this.#child.send(order);
  }

  #hear(message: SenderMessage): void {
    if (message.type === "done") {
      this.#reports = message.reports;
      return;
    }
    warn(
      `A tracker does not get the run's rows: ${message.text}. Training is not affected; they wait in metrics.jsonl, and are sent once it does.`,
    );
  }

  #lost(how: string): void {
    this.#ended.resolve();
    if (this.#reports !== null) return;
    const said = this.#child.written.trim().slice(-400);
    warn(`The process that sends rows to trackers ended ${how}. ${said} ${this.#remedy(this.#job.trackers)}`);
  }

  #remedy(trackers: readonly RemoteTracker[]): string {
    return `Send what is missing: preftune track ${shellWord(this.#job.runDir)} --to ${trackers.join(" ")}`;
  }

  async end(how: RunEnd): Promise<void> {
    // what stopped it may lose patience; a resumed run sends the rest
    const share = how === "stopped" ? 0 : waitedShare * (performance.now() - this.#began);
    const ms = Math.min(waitedMs.most, Math.max(waitedMs.least, share));
    this.#child.holdEventLoop(true);
    this.#tell({ type: "end", end: how, ms });
    const timer = setTimeout(() => this.#ended.resolve(), ms + countingMs);
    await this.#ended.promise;
    clearTimeout(timer);
    await this.#child.kill();
    for (const { tracker, sent, unsent, isClosed, trouble } of this.#reports ?? []) {
      if (isClosed && unsent === 0) continue;
      const lack =
        unsent === 0
          ? "all rows of the run, but not how it ended"
          : `${sent} of ${sent + unsent} rows of the run`;
      const why = trouble ?? "that is what it confirmed in time";
      warn(`${tracker} has ${lack}: ${why}. ${this.#remedy([tracker])}`);
    }
    if (this.#reports === null)
      warn(`Trackers could not say what they have of the run. ${this.#remedy(this.#job.trackers)}`);
  }
}
