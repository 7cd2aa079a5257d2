/** The one consumer of a run's events that writes: metrics, evaluations, log, results and the report of its directory. */
import { FileError, messageOf } from "../base/errors.ts";
import { ignoreErrors } from "../base/file-io.ts";
import { remove, writeFileAtomic } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { sealed } from "../base/sealed.ts";
import { shellWord } from "../base/shell-word.ts";
import type { ResolvedConfig } from "../config/load-config.ts";
import type { PreflightReport } from "../data/preflight.ts";
import type { Checkpoint } from "./checkpoints.ts";
import { appendEvaluation } from "./evaluation-records.ts";
import { cutAfterStep } from "./json-lines.ts";
import { type MetricRow, MetricsWriter } from "./metrics.ts";
import { cutPairTokens, writePairTokens } from "./pair-tokens.ts";
import { RolloutsFile } from "./rollouts.ts";
import type { OpenRun } from "./run-directory.ts";
import { copyIn, cutRecords, RecordCopies, recordsOf } from "./run-records.ts";
import { TensorboardWriter } from "./tensorboard.ts";
import type { ParityResult, TrainEvaluation, TrainEvent, TrainSummary } from "./train-events.ts";

/** What sends the run's rows to trackers while it trains. */
export interface Tracking {
  /**
   * The run has ended: waits a bounded time for trackers to get the rest, and tells what they did not get. It never throws for
   * what a tracker does.
   */
  end(how: "done" | "stopped" | "failed"): Promise<void>;
}

/** What a recorder has done by others. */
export interface RecorderHelp {
  /** Writes the report of the run in a directory. */
  writeReport: (runDir: string) => void;
  /** Begins to send the run's rows to trackers; left out or null: there are none. */
  track?: (() => Tracking) | null;
}

/** Between two evaluations' reports lies at least so many times what the first took: the records of a long run are long to read. */
const reportPause = 10;

/** Writes the records of a run. Without one a run computes the same and leaves no trace but its checkpoints and export. */
export class Recorder {
  readonly #run: OpenRun;
  readonly #resolved: ResolvedConfig;
  readonly #help: RecorderHelp;
  readonly #rollouts: RolloutsFile;
  readonly #copies: RecordCopies;
  readonly #exports: ParityResult[] = [];
  /** A resumed run keeps the report it began with until its rows are known to be the same. */
  #preflight: PreflightReport | null = null;
  #metrics: MetricsWriter | null = null;
  #tensorboard: TensorboardWriter | null = null;
  #tracking: Tracking | null = null;
  /** How it ended; null: not at all, or by an error. */
  #ending: "done" | "stopped" | null = null;
  /** Whether the run has begun. One that is refused before, or refused to be resumed, keeps its directory as it was. */
  #hasBegun = false;
  /** When the report was last written, and how long that took, ms. */
  #reported = { at: Number.NEGATIVE_INFINITY, cost: 0 };

  constructor(run: OpenRun, resolved: ResolvedConfig, help: RecorderHelp) {
    this.#run = run;
    this.#resolved = resolved;
    this.#help = help;
    this.#rollouts = new RolloutsFile(run.paths.rollouts);
    this.#copies = new RecordCopies(run.paths.dir);
  }

  /** Passes `events` on, each once it is written; an error of theirs is logged. */
  async *recorded<T>(events: AsyncGenerator<TrainEvent, T>): AsyncGenerator<TrainEvent, T> {
    try {
      let next = await events.next();
      for (; next.done !== true; next = await events.next()) {
        this.#record(next.value);
        if (next.value.type === "end") {
          yield* this.#lastReport();
          this.#ending = next.value.summary.reason === "stopped" ? "stopped" : "done";
        }
        yield next.value;
      }
      return next.value;
    } catch (error) {
      // on a full disk the log fails too; the first error is the one that counts
      ignoreErrors(() => this.#run.log("failed", { message: messageOf(error) }));
      throw error;
    } finally {
      ignoreErrors(() => this.close());
      // failed, or left by its consumer
      if (this.#ending === null && this.#hasBegun) this.#report();
      await events.return(undefined as T);
      await this.#tracking?.end(this.#ending ?? "failed");
    }
  }

  #record(event: TrainEvent): void {
    const { paths } = this.#run;
    switch (event.type) {
      case "preflight":
        if (this.#resolved.config.resume_from_checkpoint !== null) this.#preflight = event.report;
        else this.#run.saveJson(paths.preflight, event.report);
        break;
      case "inputs":
        this.#run.saveSealed(paths.fingerprints, event.fingerprints);
        if (this.#preflight !== null) this.#run.saveJson(paths.preflight, this.#preflight);
        this.#run.saveConfig(this.#resolved);
        break;
      case "start": {
        const { step, totalSteps, trainable } = event;
        this.#metrics = new MetricsWriter(paths.metrics);
        this.#hasBegun = true;
        this.#openTensorboard();
        this.#tracking = this.#help.track?.() ?? null;
        this.#run.log("start", { step, total_steps: totalSteps, trainable });
        break;
      }
      case "log":
        this.#write(event.row);
        break;
      case "rollout":
        this.#rollouts.append(event.rows);
        break;
      case "evaluation":
        this.#evaluation(event);
        break;
      case "skipped": {
        const { step, reason, loss, gradNorm, rows } = event;
        this.#run.log("skipped", { step, reason, loss: String(loss), grad_norm: String(gradNorm), rows });
        break;
      }
      case "collapse": {
        const { step, action, breaches } = event;
        this.#run.log("collapse", { step, action, breaches });
        break;
      }
      case "export":
        this.#exports.push(event.result);
        break;
      case "end":
        this.#end(event.summary);
        break;
      default:
        event.type satisfies "note" | "step" | "checkpoint";
    }
  }

  #evaluation({ row, record, baseline, tokens }: TrainEvaluation): void {
    const { paths } = this.#run;
    if (baseline !== null) writeFileAtomic(paths.evaluationStart, sealed(stringifyNumbers(baseline)));
    appendEvaluation(paths.evaluations, record);
    if (tokens !== null) writePairTokens(paths.pairTokens, tokens);
    this.#tensorboard?.writeEvaluation(record);
    this.#write(row);
    const { at, cost } = this.#reported;
    if (performance.now() - at >= reportPause * cost) this.#report();
  }

  #write(row: MetricRow): void {
    this.#metrics?.write(row);
    this.#tensorboard?.write(row);
  }

  /** A new event file with the rows that are there, which a resumed run continues. */
  #openTensorboard(): void {
    const { config } = this.#resolved;
    if (!config.report_to.includes("tensorboard")) return;
    this.#tensorboard = TensorboardWriter.ofRun(this.#run.paths, config);
  }

  /** Writes the report: what fails here is noted in the log and ends nothing. @returns what failed, or null */
  #report(): unknown {
    const began = performance.now();
    let failure: unknown = null;
    try {
      this.#help.writeReport(this.#run.paths.dir);
    } catch (error) {
      failure = error;
      ignoreErrors(() => this.#run.log("no report", { message: messageOf(error) }));
    }
    const at = performance.now();
    this.#reported = { at, cost: at - began };
    return failure;
  }

  /** The report of a run that has ended, which is complete without it. @throws {FileError} where the disk does not take it */
  *#lastReport(): Generator<TrainEvent, void> {
    const failure = this.#report();
    if (failure instanceof FileError) throw failure;
    if (failure === null) return;
    const { dir, report } = this.#run.paths;
    const why = messageOf(failure).replace(/\.$/, "");
    yield {
      type: "note",
      text: `${report} is not written: ${why}. preftune report ${shellWord(dir)} writes it when that is corrected`,
    };
  }

  #end({ step, reason, exported, collapse, best }: TrainSummary): void {
    const { paths } = this.#run;
    if (this.#exports.length > 0) this.#run.saveJson(paths.exportJson, this.#exports);
    const takesBest = exported.length > 0 && this.#resolved.config.load_best_model_at_end;
    this.#run.log(reason, {
      step,
      exported,
      ...(takesBest ? { exported_step: best?.step ?? step } : {}),
      ...(collapse === null ? {} : { restored: collapse.restored }),
    });
  }

  /** No more metrics come: makes those there are safe against a power cut, before anything is exported. */
  close(): void {
    this.#metrics?.close();
    this.#metrics = null;
    this.#tensorboard?.close();
    this.#tensorboard = null;
  }

  /** Copies the records so far into a checkpoint that is being written, and makes them safe against a power cut. */
  saveInto(checkpointDir: string): void {
    this.#metrics?.sync();
    this.#copies.saveInto(checkpointDir);
    this.#rollouts.saveInto(checkpointDir);
  }

  /**
   * Shortens the records to what they were at a checkpoint, so that the resumed run continues them exactly as the
   * uninterrupted one would have.
   *
   * @param checkpoint - null: the run begins again
   * @returns what of them is lost, in words
   */
  cutTo(checkpoint: Checkpoint | null): string[] {
    const { dir, metrics, evaluations, evaluationStart, pairTokens } = this.#run.paths;
    const lost = this.#rollouts.cutTo(checkpoint);
    const records = checkpoint === null ? {} : recordsOf(checkpoint);
    const step = checkpoint?.step ?? -1;
    cutPairTokens(pairTokens, step, copyIn(records ?? {}, "pair-tokens.json"));
    if (records !== null) cutRecords(dir, { records, step });
    if (checkpoint === null) remove(evaluationStart);
    if (checkpoint === null || records !== null) return lost;
    // of an earlier version: it has no copy of them
    for (const path of [metrics, evaluations]) cutAfterStep(path, step);
    return lost;
  }
}
