/** Slurm's lists of hosts: "gpu[03-05,9],login1". */

/**
 * The first host of a list, which is the host of rank 0.
 *
 * @param list - as in SLURM_JOB_NODELIST
 */
export function firstHost(list: string): string {
  const [first = ""] = /^(?:\[[^\]]*\]|[^,[])*/.exec(list.trim()) ?? [];
  return first.replace(/\[([^\],-]*)[^\]]*\]/g, "$1");
}
