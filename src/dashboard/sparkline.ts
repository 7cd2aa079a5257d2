/** The points of a small curve: all of them while they are few, then the means of equally many. */

/** Most points that are kept. */
const mostPoints = 64;

/** A curve that is continued later. */
export interface SavedSparkline {
  points: readonly number[];
  /** Values that a point stands for. */
  each: number;
}

/** Points that come one after the other; when they are too many, pairs of them are joined. */
export class Sparkline {
  readonly #points: number[];
  #each: number;
  #sum = 0;
  #count = 0;

  constructor(saved: SavedSparkline = { points: [], each: 1 }) {
    this.#points = [...saved.points];
    this.#each = saved.each;
  }

  /** What to continue from; of an unfinished point nothing is kept. */
  get saved(): SavedSparkline {
    return { points: this.#points, each: this.#each };
  }

  /** The points, the unfinished one among them. */
  get points(): readonly number[] {
    return this.#count === 0 ? this.#points : [...this.#points, this.#sum / this.#count];
  }

  /** One more value; one that is not finite is left out. */
  add(value: number): void {
    if (!Number.isFinite(value)) return;
    this.#sum += value;
    this.#count += 1;
    if (this.#count < this.#each) return;
    this.#points.push(this.#sum / this.#count);
    [this.#sum, this.#count] = [0, 0];
    if (this.#points.length >= mostPoints) this.#halve();
  }

  #halve(): void {
    const joined = this.#points.flatMap((value, i, all) =>
      i % 2 === 1 ? [((all[i - 1] ?? value) + value) / 2] : [],
    );
    this.#points.splice(0, this.#points.length, ...joined);
    this.#each *= 2;
  }
}
