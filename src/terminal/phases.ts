/** Progress lines for long phases. */
import { PhaseProgress } from "./progress.ts";

/** Shows phases as they come; call `done` after the last. */
export class Phases {
  #label: string | null = null;
  #progress: PhaseProgress | null = null;

  /** A phase has got to `done` of `total`; `note` is printed after it. */
  readonly listen = (label: string, done: number, total: number | null, note = ""): void => {
    if (label !== this.#label) {
      this.done();
      this.#label = label;
      this.#progress = new PhaseProgress(label, total);
    }
    this.#progress?.update(done, note);
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
