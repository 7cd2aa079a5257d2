/** Hosts that differ in their names alone, which is what ranks tell hosts by: for tests of what a host does once. Networks are those of `hosts.ts`. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { type Running, startProcess } from "./command.ts";
import { freePort, placesOn, type Variables } from "./rank-processes.ts";

/** Why a process can be given no host's name here; false where it can. */
export function skipWithoutNames(): string | false {
  const { status, stderr, error } = spawnSync("unshare", ["-ru", "hostname", "host0"], { encoding: "utf8" });
  return status === 0
    ? false
    : `names of hosts are not to be had: ${(stderr ?? error?.message ?? "").trim()}`;
}

/**
 * Starts a TypeScript program of the checkout on each rank of so many hosts, `host0`, `host1` ...
 *
 * @param ranks - of each host @param variables - of a host @param folderOf - where the programs of a host start; default: the checkout
 */
export async function startOnNamed(
  ranks: readonly number[],
  args: readonly string[],
  variables: (host: number) => Variables,
  folderOf: ((host: number) => string) | null = null,
): Promise<Running[]> {
  const hosts = ranks.flatMap((count, host) => Array<number>(count).fill(host));
  const places = placesOn(hosts, await freePort());
  const script = 'hostname "$1" && shift && exec "$@"';
  const program = [
    process.execPath,
    "--conditions=preftune-source",
    join(import.meta.dirname, args[0] ?? ""),
  ];
  return hosts.map((host, rank) => {
    const name = ["-ru", "sh", "-c", script, "sh", `host${host}`];
    const env = { ...places[rank], ...variables(host) };
    const cwd = folderOf === null ? {} : { cwd: folderOf(host) };
    return startProcess("unshare", [...name, ...program, ...args.slice(1)], { env, ...cwd });
  });
}
