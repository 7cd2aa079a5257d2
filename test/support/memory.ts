/** The garbage collector, called by tests that measure memory: how much waits for it depends on what else the machine does. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");

/** Frees what is unreachable. */
export const collectGarbage = runInNewContext("gc") as () => void;

/** Resident memory of this process, in MiB, once garbage is collected. */
export function residentMiB(): number {
  collectGarbage();
  return process.memoryUsage.rss() / 2 ** 20;
}
