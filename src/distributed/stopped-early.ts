/** A run that is asked to stop before its first step. */
import { PreftuneError } from "../base/errors.ts";
import { statusAfter } from "../base/stop-signals.ts";

/** A rank was asked to stop before a step was begun: all ranks end, and nothing is lost. The same on all of them. */
export class StoppedEarlyError extends PreftuneError {
  override readonly exitCode: number = statusAfter("SIGTERM");
  readonly who: string;

  /** @param who - "rank 2 (host b)" */
  constructor(who: string) {
    super(`${who} was asked to stop before a step was begun: all ranks end, and nothing is lost.`);
    this.who = who;
  }
}
