/** Slurm's lists: of hosts, "gpu[03-05,9],login1", and of tasks on each, "2(x3),1". */
import { ConfigError } from "../base/errors.ts";

/**
 * The first host of a list, which is the host of rank 0.
 *
 * @param list - as in SLURM_JOB_NODELIST
 */
export function firstHost(list: string): string {
  const [first = ""] = /^(?:\[[^\]]*\]|[^,[])*/.exec(list.trim()) ?? [];
  return first.replace(/\[([^\],-]*)[^\]]*\]/g, "$1");
}

/**
 * The tasks of all hosts and of one, null where the list has fewer hosts.
 *
 * @param given - the list and the variable that it is from, for messages
 * @param host - from 0
 * @throws {ConfigError} when it is no such list
 */
export function tasksOfHost(
  { list, name }: { list: string; name: string },
  host: number,
): { total: number; here: number | null } {
  let [total, hosts, here]: [number, number, number | null] = [0, 0, null];
  for (const part of list.split(",")) {
    const [, tasks, times = "1"] = /^(\d{1,7})(?:\(x(\d{1,7})\))?$/.exec(part) ?? [];
    if (tasks === undefined)
      throw new ConfigError(`${name}: expected tasks of each host as "2(x3),1", got "${list}".`);
    if (host >= hosts && host < hosts + Number(times)) here = Number(tasks);
    hosts += Number(times);
    total += Number(tasks) * Number(times);
  }
  return { total, here };
}
