/**
 * Progress of training and of long phases: one rewritten line on a terminal, JSON lines otherwise.
 */

import { stringifyNumbers } from "../base/json-numbers.ts";
import { formatDuration, formatNumber } from "../base/number-text.ts";

/** Where progress is written: process.stdout, process.stderr or something like them. */
export interface ProgressStream {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

/** A row of metrics, as a run writes them. */
interface MetricRow {
  global_step: number;
  [key: string]: number | string | boolean | null;
}

/** Time between two rewrites of the line. */
const REDRAW_MS = 100;

/** Time between two lines of a phase in a log. */
const LOG_MS = 10_000;

/** A line on the screen that is written over; on anything but a terminal nothing is drawn. */
class StatusLine {
  readonly live: boolean;
  readonly #out: ProgressStream;
  #drawn = Number.NEGATIVE_INFINITY;

  constructor(out: ProgressStream) {
    this.#out = out;
    this.live = out.isTTY === true;
  }

  /** Draws `parts` from the left, as many as fit; the first is always there, cut if need be. */
  draw(parts: readonly string[], isLast: boolean): void {
    const now = performance.now();
    if (!this.live || (!isLast && now - this.#drawn < REDRAW_MS)) return;
    this.#drawn = now;
    this.#out.write(`\r\u001b[K${fitParts(parts, (this.#out.columns || 80) - 1)}${isLast ? "\n" : ""}`);
  }

  /** Takes the line away. */
  clear(): void {
    if (this.live) this.#out.write("\r\u001b[K");
  }

  /** Writes a whole line above the status. */
  note(text: string): void {
    this.#out.write(this.live ? `\r\u001b[K${text}\n` : `${text}\n`);
  }
}

/** Shows the course of training. */
export class TrainingProgress {
  readonly #line: StatusLine;
  readonly #out: ProgressStream;
  readonly #total: number;
  readonly #started: number;
  #first: number | null = null;
  #last: MetricRow = { global_step: 0 };
  /** Tokens of the steps that are done, and the step at hand: when its first part began, and how far it is. */
  #tokens = 0;
  #began: number | null = null;
  #part = { done: 0, total: 0, tokens: 0 };

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
  step(step: number, row: Partial<MetricRow> = {}): void {
    this.#first ??= step - 1;
    this.#last = { ...this.#last, ...row, global_step: step } as MetricRow;
    this.#part = { done: 0, total: 0, tokens: 0 };
    this.#line.draw(this.#parts(), step >= this.#total);
  }

  /** A part of the step at hand is done: so many of its micro-batches, with so many input tokens. */
  within(part: { done: number; total: number; tokens: number }): void {
    this.#began ??= performance.now();
    this.#part = { done: part.done, total: part.total, tokens: part.tokens };
    this.#line.draw(this.#parts(), false);
  }

  /** A step is done that took in so many tokens. */
  count(tokens: number): void {
    this.#tokens += tokens;
    this.#part = { done: 0, total: 0, tokens: 0 };
  }

  /** A row of metrics: a JSON line where there is no terminal, figures for the line where there is. */
  log(row: MetricRow): void {
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
      total > 1 && parts < total ? `micro-batch ${parts + 1}/${total}` : "",
      figure("loss", (x) => `loss ${formatNumber(x)}`),
      Number.isFinite(left) ? `${formatDuration(left)} left` : "",
      figure("rewards/margins", (x) => `margin ${formatNumber(x)}`),
      figure("rewards/accuracies", (x) => `acc ${Math.round(100 * x)}%`),
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

/** Shows a long phase with a known or unknown end: loading, tokenising, reference log-probabilities. */
export class PhaseProgress {
  readonly #line: StatusLine;
  readonly #label: string;
  readonly #total: number | null;
  readonly #now: () => number;
  readonly #started: number;
  #logged: number;
  #count = 0;

  /**
   * @param total - units in all; null when unknown
   * @param now - time in milliseconds
   */
  constructor(
    label: string,
    total: number | null,
    out: ProgressStream = process.stderr,
    now: () => number = () => performance.now(),
  ) {
    this.#line = new StatusLine(out);
    this.#label = label;
    this.#total = total;
    this.#now = now;
    this.#started = now();
    this.#logged = this.#started;
    // a log shows that the phase began, too
    if (!this.#line.live) this.#line.note(JSON.stringify({ phase: label, total }));
  }

  /** `count` units are done; `note` stands behind them while there is room. */
  update(count: number, note = ""): void {
    this.#count = count;
    if (this.#line.live) {
      this.#line.draw([`${this.#label} ${this.#amount()}`, note, this.#rate()].filter(Boolean), false);
    } else if (this.#now() - this.#logged >= LOG_MS) {
      this.#logged = this.#now();
      const figures = { phase: this.#label, total: this.#total, count };
      this.#line.note(JSON.stringify({ ...figures, ...(note === "" ? {} : { note }), rate: this.#rate() }));
    }
  }

  /** The phase is over and its line goes: what follows tells of it. */
  clear(): void {
    this.#line.clear();
  }

  /** The phase is over: one line stays, with its time. */
  done(): void {
    const seconds = (this.#now() - this.#started) / 1000;
    const text = `${this.#label} ${this.#amount()} in ${formatDuration(seconds)}`;
    if (this.#line.live) this.#line.draw([text], true);
    else
      this.#line.note(
        JSON.stringify({ phase: this.#label, count: this.#count, seconds: Number(seconds.toFixed(3)) }),
      );
  }

  /** Units a second since the phase began; nothing in its first second. */
  #rate(): string {
    const seconds = (this.#now() - this.#started) / 1000;
    return seconds < 1 || this.#count === 0 ? "" : `${formatNumber(this.#count / seconds)}/s`;
  }

  #amount(): string {
    if (this.#total === null || this.#total === 0) return `${this.#count}`;
    return `${this.#count}/${this.#total} (${Math.floor((100 * this.#count) / this.#total)}%)`;
  }
}

/** Joins as many of `parts` as `width` columns hold; the first is cut rather than left out. */
function fitParts(parts: readonly string[], width: number): string {
  let line = (parts[0] ?? "").slice(0, Math.max(1, width));
  for (const part of parts.slice(1)) {
    if (line.length + 3 + part.length <= width) line += ` · ${part}`;
  }
  return line;
}
