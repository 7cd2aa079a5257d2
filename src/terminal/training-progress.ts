/** Progress of training: the line on a terminal, JSON lines otherwise. */
import { stringifyNumbers } from "../base/json-numbers.ts";
import { formatDuration, formatNumber } from "../base/number-text.ts";
import { type ProgressStream, StatusLine } from "./status-line.ts";

/** A row of metrics, as a run writes them. */
interface ShownMetrics {
  global_step: number;
  [key: string]: number | string | boolean | null;
}

/** Shows how far training is. */
export class TrainingProgress {
  readonly #line: StatusLine;
  readonly #out: ProgressStream;
  readonly #total: number;
  readonly #started: number;
  #first: number | null = null;
  #last: ShownMetrics = { global_step: 0 };
  /** Tokens of the steps that are done, and the step at hand: when its first part began, and how far it is. */
  #tokens = 0;
  #began: number | null = null;
  #part = { done: 0, total: 0, tokens: 0 };
  /** What is done before the step at hand; empty in the step itself. */
  #before = "";

  /** @param total - optimiser steps of the whole run */
  constructor(total: number, out: ProgressStream = process.stdout) {
    this.#line = new StatusLine(out);
    this.#out = out;
    this.#total = total;
    this.#started = performance.now();
  }

  /** Before the first step that is taken: `step` are done already. */
  begin(step: number): void {
    this.#first = step;
    this.#last = { global_step: step };
    this.#line.draw(this.#parts(), false);
  }

  /** After each step: redraws the line on a terminal. `row` may bring new figures. */
  step(step: number, row: Partial<ShownMetrics> = {}): void {
    this.#first ??= step - 1;
    this.#last = { ...this.#last, ...row, global_step: step } as ShownMetrics;
    this.#part = { done: 0, total: 0, tokens: 0 };
    this.#line.draw(this.#parts(), step >= this.#total);
  }

  /** Work before a step, such as sampling: what it is and how far. */
  before(text: string): void {
    this.#began ??= performance.now();
    this.#before = text;
    this.#line.draw(this.#parts(), false);
  }

  /** A part of the step at hand is done: so many of its micro-batches, with so many input tokens. */
  within(part: { done: number; total: number; tokens: number }): void {
    this.#began ??= performance.now();
    this.#part = { done: part.done, total: part.total, tokens: part.tokens };
    this.#before = "";
    this.#line.draw(this.#parts(), false);
  }

  /** A step is done that took in so many tokens. */
  count(tokens: number): void {
    this.#tokens += tokens;
    this.#part = { done: 0, total: 0, tokens: 0 };
  }

  /** A row of metrics: a JSON line where there is no terminal, figures for the line where there is. */
  log(row: ShownMetrics): void {
    if (this.#line.live) this.step(row.global_step, row);
    else this.#out.write(`${stringifyNumbers(row)}\n`);
  }

  /** Something to tell besides: a line above the status, or a JSON line. */
  note(text: string): void {
    this.#line.note(this.#line.live ? text : JSON.stringify({ note: text }));
  }

  #parts(): string[] {
    const { global_step: step } = this.#last;
    const done = step - (this.#first ?? 0);
    const seconds = (performance.now() - (this.#began ?? this.#started)) / 1000;
    const left = done > 0 ? (seconds / done) * (this.#total - step) : Number.NaN;
    const figure = (key: string, show: (value: number) => string): string => {
      const value = this.#last[key];
      return typeof value === "number" ? show(value) : "";
    };
    const { done: parts, total } = this.#part;
    return [
      `step ${step}/${this.#total}`,
      this.#before,
      total > 1 && parts < total ? `micro-batch ${parts + 1}/${total}` : "",
      figure("loss", (x) => `loss ${formatNumber(x)}`),
      Number.isFinite(left) ? `${formatDuration(left)} left` : "",
      figure("reward", (x) => `reward ${formatNumber(x)}`),
      figure("rewards/margins", (x) => `margin ${formatNumber(x)}`),
      figure("rewards/accuracies", (x) => `acc ${Math.round(100 * x)}%`),
      figure("margin", (x) => `margin ${formatNumber(x)}`),
      figure("accuracy", (x) => `acc ${Math.round(100 * x)}%`),
      this.#rate(),
      figure("peak_memory_bytes", (x) => `${(x / 2 ** 30).toFixed(1)} GiB`),
    ].filter((part) => part !== "");
  }

  /** Input tokens a second: of the last row of metrics, before that of all that was done so far. */
  #rate(): string {
    const logged = this.#last["tokens_per_second"];
    if (typeof logged === "number") return `${formatNumber(logged)} tok/s`;
    const tokens = this.#tokens + this.#part.tokens;
    if (tokens === 0 || this.#began === null) return "";
    return `${formatNumber((1000 * tokens) / Math.max(1, performance.now() - this.#began))} tok/s`;
  }
}
