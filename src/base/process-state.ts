/** What the system says of a process: whether it runs, when it started, how long it has computed. */
import { errorCode } from "./file-io.ts";
import { readFileBytes } from "./open-file.ts";

/**
 * Whether a process of this number runs. One that was killed and that its parent has not reaped does not.
 *
 * @param thread - a thread of it that is to be there as well
 */
export function isRunning(pid: number, thread?: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (errorCode(error) !== "EPERM") return false;
  }
  // in a container without an init a killed process may never be reaped
  return !/^[ZX]$/.test(processStat(pid, thread)[0] ?? "");
}

/** When a process or thread of it started, in clock ticks since boot; null where the system does not tell, or it is gone. */
export function startOf(pid: number, thread?: number): string | null {
  return processStat(pid, thread)[19] ?? null;
}

/** Milliseconds that a process has computed; null where the system does not tell, or it is gone. */
export function cpuMsOf(pid: number): number | null {
  const [user, system] = processStat(pid).slice(11, 13);
  // in hundredths of a second
  return user === undefined || system === undefined ? null : 10 * (Number(user) + Number(system));
}

/** The fields of the `stat` of a process or thread from the third, the state, on; none where there is no such file. */
function processStat(pid: number, thread?: number): string[] {
  try {
    const place = thread === undefined ? pid : `${pid}/task/${thread}`;
    const stat = readFileBytes(`/proc/${place}/stat`).toString("latin1");
    // the second field, the name, may hold blanks and ends with the last parenthesis
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}
