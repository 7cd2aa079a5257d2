/**
 * A limit on the time of synchronous work. V8 stops a script that runs out of time wherever it is, in the middle of a regular
 * expression too; work called from a script is a part of it. Starting one costs more than most texts: it is for work that needs it.
 */
import { Script } from "node:vm";

const job: { run: () => void } = { run: () => {} };
const script = new Script("preftuneTimedWork()");
Object.assign(globalThis, { preftuneTimedWork: () => job.run() });

/** Work took longer than it may. */
export class TimeLimitError extends Error {}

/**
 * The result of `work`, which a busy machine gives all the time it needs: what counts is what this thread computes. Work that the
 * clock stops before it has computed for `limitMs` begins again, with the time that this would have taken, so it changes nothing but
 * what it returns.
 *
 * @throws TimeLimitError when it computes for longer than `limitMs`: after little more than that on an idle machine, after some two
 *   times that where other work takes its turns, later where that ends in between; what `work` throws
 */
export function withinComputedTime<T>(limitMs: number, work: () => T): T {
  for (let clockMs = firstShare * limitMs; ; ) {
    const before = computedMs();
    try {
      return withinTime(clockMs, work);
    } catch (error) {
      if (!(error instanceof TimeLimitError)) throw error;
      const computed = computedMs() - before;
      if (computed >= limitMs) throw new TimeLimitError(`timed out after ${Math.ceil(limitMs)} ms`);
      clockMs *= Math.min(mostGrowth, (firstShare * limitMs) / computed);
    }
  }
}

/** Milliseconds that this thread has computed so far. */
export function computedMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Time on the clock of a first attempt: a little more than the limit, so that an idle machine needs no second one. */
const firstShare = 1.25;
/** The clock of an attempt is at most so many times that of the one before: a machine may not have begun with it at all. */
const mostGrowth = 8;

/** The result of `work`. @throws TimeLimitError when more than `limitMs` pass on the clock */
function withinTime<T>(limitMs: number, work: () => T): T {
  let result: { value: T } | null = null;
  job.run = () => {
    result = { value: work() };
  };
  try {
    script.runInThisContext({ timeout: Math.ceil(limitMs) });
  } catch (error) {
    if ((error as { code?: unknown }).code === "ERR_SCRIPT_EXECUTION_TIMEOUT") throw new TimeLimitError();
    throw error;
  } finally {
    job.run = () => {};
  }
  return (result as { value: T } | null)?.value as T;
}
