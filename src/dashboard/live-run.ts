/** The figures of one run in memory, kept up to date line by line: rows of metrics, and how many events and evaluations there are. */
import { withMarginDelta } from "../report/metric-series.ts";
import type { MetricRow } from "../runs/metrics.ts";
import { runPaths } from "../runs/run-directory.ts";
import { LineTail } from "./line-tail.ts";
import { RolloutsTail } from "./rollouts-tail.ts";
import { rowOf } from "./run-summary.ts";

/** Where a reader of a run's rows and events is. */
export interface LivePlace {
  /** Which reading of the files it counts in: a file that was cut is read again. */
  reading: number;
  rows: number;
  events: number;
  evaluations: number;
}

/** A row with where it stands, for every way to draw it. */
export interface PlacedRow {
  row: MetricRow;
  /** Passes over the data. */
  epoch: number;
  /** Input tokens since the start. */
  tokens: number;
  /** Of training and evaluations since the start, s. */
  seconds: number;
}

/** Readings of all runs are counted together, from a number that another start of the dashboard does not have. */
let readings = Date.now();

/** One run. */
export class LiveRun {
  rows: PlacedRow[] = [];
  /** Lines of metrics that hold no row, counted from 1. */
  damaged: number[] = [];
  events = 0;
  evaluations = 0;
  #lines = 0;
  /** The step of the last row with a step_time, which is the mean over the steps since the one before it. */
  #timedStep = 0;
  #reading = ++readings;
  /** What its page shows of its rollouts; read when it is asked for. */
  readonly rollouts: RolloutsTail;
  readonly #metrics: LineTail;
  readonly #log: LineTail;
  readonly #evaluations: LineTail;

  constructor(dir: string) {
    const paths = runPaths(dir);
    this.rollouts = new RolloutsTail(paths.rollouts);
    this.#metrics = new LineTail(paths.metrics);
    this.#log = new LineTail(paths.log);
    this.#evaluations = new LineTail(paths.evaluations);
  }

  /** Where a reader is that has read all there is. */
  get place(): LivePlace {
    const { rows, events, evaluations } = this;
    return { reading: this.#reading, rows: rows.length, events, evaluations };
  }

  /** Reads what is new. */
  async refresh(): Promise<void> {
    await this.#read(this.#metrics, {
      restart: () => {
        this.rows = [];
        this.damaged = [];
        this.#lines = 0;
        this.#timedStep = 0;
        this.#reading = ++readings;
      },
      line: (line) => {
        const row = rowOf(line);
        this.#lines += 1;
        if (row === null) this.damaged.push(this.#lines);
        else this.rows.push(this.#placed(row));
      },
    });
    await this.#read(this.#log, {
      restart: () => {
        this.events = 0;
        this.#reading = ++readings;
      },
      line: () => {
        this.events += 1;
      },
    });
    await this.#read(this.#evaluations, {
      restart: () => {
        this.evaluations = 0;
        this.#reading = ++readings;
      },
      line: () => {
        this.evaluations += 1;
      },
    });
  }

  async #read(tail: LineTail, on: { restart: () => void; line: (line: string) => void }): Promise<void> {
    for (let isMore = true; isMore; ) {
      const read = tail.read();
      if (read.isRestart) on.restart();
      for (const line of read.lines) on.line(line);
      isMore = read.isMore;
      if (isMore) await new Promise(setImmediate);
    }
  }

  /** Rows of evaluations have no count of tokens: they stand where the row before them does. */
  #placed(logged: MetricRow): PlacedRow {
    const before = this.rows.at(-1);
    const row = withMarginDelta(logged);
    const number = (key: string): number | null => {
      const value = row[key];
      return typeof value === "number" && Number.isFinite(value) ? value : null;
    };
    const stepTime = number("step_time");
    const steps = row.global_step - this.#timedStep;
    if (stepTime !== null) this.#timedStep = row.global_step;
    const took = (stepTime ?? 0) * Math.max(0, steps) + (number("eval_runtime") ?? 0);
    return {
      row,
      epoch: number("epoch") ?? before?.epoch ?? 0,
      tokens: number("num_tokens") ?? before?.tokens ?? 0,
      seconds: (before?.seconds ?? 0) + took,
    };
  }
}
