/** The running mean that smooths curves, on the server for long ones and in the page. */

/** What to continue from. */
export interface MeanState {
  sum: number;
  weight: number;
}

/** A mean with weights that fall off exponentially, corrected for its beginning; values that are not finite are passed over. */
export class RunningMean {
  readonly smoothing: number;
  #sum: number;
  #weight: number;

  /** @param smoothing - the weight of what came before, from 0 up to below 1 */
  constructor(smoothing: number, { sum, weight }: MeanState = { sum: 0, weight: 0 }) {
    this.smoothing = smoothing;
    this.#sum = sum;
    this.#weight = weight;
  }

  get state(): MeanState {
    return { sum: this.#sum, weight: this.#weight };
  }

  /** The mean with one more value; of one that is not finite, itself. */
  add(value: number): number {
    if (!Number.isFinite(value)) return value;
    this.#sum = this.smoothing * this.#sum + (1 - this.smoothing) * value;
    this.#weight = this.smoothing * this.#weight + (1 - this.smoothing);
    return this.#sum / this.#weight;
  }
}
