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
 * The result of `work`.
 *
 * @throws TimeLimitError when it takes longer than `limitMs`; what `work` throws
 */
export function withinTime<T>(limitMs: number, work: () => T): T {
  let result: { value: T } | null = null;
  job.run = () => {
    result = { value: work() };
  };
  try {
    script.runInThisContext({ timeout: Math.ceil(limitMs) });
  } catch (error) {
    if ((error as { code?: unknown }).code === "ERR_SCRIPT_EXECUTION_TIMEOUT")
      throw new TimeLimitError(`timed out after ${Math.ceil(limitMs)} ms`);
    throw error;
  } finally {
    job.run = () => {};
  }
  return (result as { value: T } | null)?.value as T;
}
