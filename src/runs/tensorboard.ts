/**
 * TensorBoard's event files, written without TensorFlow. The file
 * follows `metrics.jsonl`: a run that starts or resumes writes all rows that are there into a new file, and removes the older
 * one. So no step is there twice or lost, whatever ended the run before.
 */
import { existsSync, readdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { ignoreErrors, io, makeDirectories, writeAllSync } from "../base/file-io.ts";
import { readTextFile } from "../base/files.ts";
import { warn } from "../base/warn.ts";
import { flatConfig } from "../config/keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import { type EvaluationRecord, readEvaluations } from "./evaluation-records.ts";
import {
  firstRecord,
  histogramRecord,
  hparamsRecord,
  samplesText,
  scalarsRecord,
  startRecord,
  textRecord,
} from "./event-records.ts";
import { type MetricRow, readMetrics } from "./metrics.ts";
import type { RunPaths } from "./run-directory.ts";
import { chartName, numbersOf, runName } from "./tracker-names.ts";

const fileNames = /^events\.out\.tfevents\..*\.preftune$/;

/** What an event file begins with. */
export interface TensorboardContent {
  rows?: readonly MetricRow[];
  evaluations?: readonly EvaluationRecord[];
  /** Shown beside the metrics, by name. */
  texts?: Readonly<Record<string, string>>;
  /** The configuration and the name of the run, for the table of HPARAMS. */
  hparams?: { values: Readonly<Record<string, unknown>>; group: string } | null;
}

/** Appends rows of metrics and texts to an event file. It never throws: what cannot be written is counted and reported once. */
export class TensorboardWriter {
  #fd: number | null = null;
  #hasFailed = false;
  /** Rows that are not in the file. */
  #lost = 0;

  /**
   * @param dir - made, and emptied of files that this class wrote
   * @param there - what there is already
   */
  constructor(dir: string, { rows = [], evaluations = [], texts = {}, hparams = null }: TensorboardContent) {
    this.#try(() => {
      makeDirectories(dir);
      for (const name of readdirSync(dir)) if (fileNames.test(name)) io.rmSync(join(dir, name));
      this.#fd = io.openSync(freshPath(dir), "wx");
      this.#append(firstRecord(seconds()));
      this.#append(startRecord());
      for (const [name, content] of Object.entries(texts)) this.#append(textRecord(0, name, content));
      if (hparams !== null) this.#append(hparamsRecord(hparams.values, hparams.group, seconds()));
    });
    for (const row of rows) this.write(row);
    for (const record of evaluations) this.writeEvaluation(record);
  }

  /** The event file of a run, with what the run has already. */
  static ofRun(
    { dir, tensorboard, metrics, evaluations, configYaml }: RunPaths,
    config: RunConfig,
  ): TensorboardWriter {
    const { resume_from_checkpoint: _, ...values } = flatConfig(config);
    return new TensorboardWriter(tensorboard, {
      rows: readMetrics(metrics),
      evaluations: readEvaluations(evaluations),
      texts: existsSync(configYaml) ? { "config.yaml": readTextFile(configYaml) } : {},
      hparams: { values, group: runName(config, dir) },
    });
  }

  /** Appends the numbers of a row, named as transformers' callback does: train/loss, eval/loss. */
  write(row: MetricRow): void {
    const values = numbersOf(row).map(([key, value]) => [chartName(key), value] as const);
    if (values.length === 0) return;
    this.#try(() => this.#append(scalarsRecord(row.global_step, values)));
    if (this.#hasFailed) this.#lost += 1;
  }

  /** Appends what an evaluation gives besides metrics: how likely rejected tokens are, and sampled answers. */
  writeEvaluation(record: EvaluationRecord): void {
    const { global_step: step, rejected_logps: logps } = record;
    const samples = samplesText(record);
    this.#try(() => {
      if (logps !== null) this.#append(histogramRecord(step, "eval/rejected_logps", logps));
      if (samples !== null) this.#append(textRecord(step, "eval/samples", samples));
    });
  }

  /** Closes the file; says how many rows are not in it. */
  close(): void {
    const fd = this.#fd;
    this.#fd = null;
    if (fd !== null) this.#try(() => io.closeSync(fd));
    if (this.#lost > 0) warn(`TensorBoard: ${this.#lost} rows are not in its file; metrics.jsonl has them.`);
    this.#lost = 0;
  }

  #append(bytesOfRecord: Buffer): void {
    if (this.#fd !== null) writeAllSync(this.#fd, bytesOfRecord);
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      const fd = this.#fd;
      // what stands behind half a record cannot be read
      this.#fd = null;
      if (fd !== null) ignoreErrors(() => io.closeSync(fd));
      this.#hasFailed = true;
      warn(
        `TensorBoard: its file cannot be written: ${messageOf(error)}. Training continues; metrics.jsonl has every row, and a resumed run ` +
          "writes them all again.",
      );
    }
  }
}

function freshPath(dir: string): string {
  const path = (count: number): string =>
    join(dir, `events.out.tfevents.${Math.floor(seconds())}.${hostname()}.${process.pid}.${count}.preftune`);
  let count = 0;
  while (existsSync(path(count))) count++;
  return path(count);
}

function seconds(): number {
  return Date.now() / 1000;
}
