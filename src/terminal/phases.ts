/** Progress of long phases: the line on a terminal, JSON lines otherwise. */

import { formatDuration, formatNumber } from "../base/number-text.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { type ProgressStream, StatusLine } from "./status-line.ts";

/** Time between two lines of a phase in a log. */
const LOG_MS = 10_000;

/** Shows a long phase with a known or unknown end: loading, tokenising, reference log-probabilities. */
export class PhaseProgress {
  readonly #line: StatusLine;
  readonly #label: string;
  #total: number | null;
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

  /** `count` units are done, of `total` in all; `note` stands behind them while there is room. */
  update(count: number, note = "", total: number | null = this.#total): void {
    this.#count = count;
    this.#total = total;
    if (this.#line.live) {
      this.#line.draw([`${this.#label} ${this.#amount()}`, note, this.#rate()].filter(Boolean), false);
    } else if (this.#now() - this.#logged >= LOG_MS) {
      this.#logged = this.#now();
      const figures = { phase: this.#label, total: this.#total, count };
      this.#line.note(JSON.stringify({ ...figures, ...(note === "" ? {} : { note }), rate: this.#rate() }));
    }
  }

  /** The phase is over and its line goes: the next line implies it. A log, whose lines stay, says that it is over. */
  clear(): void {
    if (this.#line.live) this.#line.clear();
    else this.done();
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

/** Shows phases as they come; call `done` after the last. */
export class Phases {
  readonly #out: ProgressStream;
  #label: string | null = null;
  #progress: PhaseProgress | null = null;

  constructor(out: ProgressStream = process.stderr) {
    this.#out = out;
  }

  /** A phase has got to `done` of `total`; `note` is printed after it. */
  readonly listen: PhaseListener = (label, done, total, note = "") => {
    if (label !== this.#label) {
      this.done();
      this.#label = label;
      this.#progress = new PhaseProgress(label, total, this.#out);
    }
    this.#progress?.update(done, note, total);
  };

  /** Ends the current phase without printing a line: the next line implies it. */
  drop(): void {
    this.#progress?.clear();
    this.#progress = null;
    this.#label = null;
  }

  /** Ends the phase at hand. */
  done(): void {
    this.#progress?.done();
    this.#progress = null;
    this.#label = null;
  }
}
