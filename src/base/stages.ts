/** Where the time of a start goes. */

/** A part of a start and its time. */
export interface Stage {
  name: string;
  ms: number;
}

/** Measures stages, one after the other, from the start of this process on. */
export class Stages {
  readonly #all: Stage[] = [];
  /** Milliseconds since the process began. */
  #from = 0;

  /** What ran since the last call, or since the process began, was `name`. */
  end(name: string): void {
    const now = performance.now();
    this.#all.push({ name, ms: Math.round(now - this.#from) });
    this.#from = now;
  }

  /** The stages so far, in order. */
  get all(): readonly Stage[] {
    return this.#all;
  }
}

/** "libtorch 812 ms, weights 40 ms; 852 ms in all" */
export function stagesText(stages: readonly Stage[]): string {
  const total = stages.reduce((sum, { ms }) => sum + ms, 0);
  return `${stages.map(({ name, ms }) => `${name} ${ms} ms`).join(", ")}; ${total} ms in all`;
}
