/** How well the ranks of a run keep pace, between two rows of metrics. */
import type { GroupUsage, RankGroup } from "../distributed/rank-group.ts";

/** Counts what collectives take of the steps of a run. */
export class RankMeter {
  readonly #group: Pick<RankGroup, "usage" | "hasGpus">;
  #steps = 0;
  #seconds = 0;
  #waited: number[] = [];
  #sent = 0;
  #before: GroupUsage;

  constructor(group: Pick<RankGroup, "usage" | "hasGpus">) {
    this.#group = group;
    this.#before = { ...group.usage };
  }

  /** A step begins: what an evaluation, a save or the start of the run has taken does not count. */
  begin(): void {
    this.take();
  }

  /** What this rank's collectives have taken since the step began, or since it was last asked. */
  take(): GroupUsage {
    const { waited, sent } = this.#group.usage;
    const since = { waited: waited - this.#before.waited, sent: sent - this.#before.sent };
    this.#before = { waited, sent };
    return since;
  }

  /**
   * Counts a step.
   *
   * @param all - what each rank's collectives took of its time @param seconds - the time
   * @param inOutcome - bytes that a rank sent afterwards, to give the others its loss and metrics
   */
  add(all: readonly GroupUsage[], seconds: number, inOutcome: number): void {
    this.#steps += 1;
    this.#seconds += seconds;
    this.#sent += inOutcome + all.reduce((sum, { sent }) => sum + sent, 0) / all.length;
    this.#waited = all.map(({ waited }, rank) => (this.#waited[rank] ?? 0) + waited);
  }

  /** The metrics of the steps since the last row. Without those of waiting on GPUs: they wait for each other, and the computer does not see it. */
  row(): Record<string, number> {
    if (this.#steps === 0) return {};
    const mean = this.#waited.reduce((sum, waited) => sum + waited, 0) / this.#waited.length;
    const row = {
      ...(!this.#group.hasGpus && {
        "speed/waiting_fraction": mean / this.#seconds,
        "speed/slowest_rank": this.#waited.indexOf(Math.min(...this.#waited)),
      }),
      "speed/sent_bytes": this.#sent / this.#steps,
    };
    [this.#steps, this.#seconds, this.#sent, this.#waited] = [0, 0, 0, []];
    return row;
  }
}
