/** Processes that are the ranks of a run, as a launcher starts them. */
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errorCode } from "../../src/base/file-io.ts";
import { type Ended, type Running, start, startProcess, startProgram } from "./command.ts";
import { peersPython, skipWithoutPeers } from "./peers.ts";

/** Ports that tests drew lately, of other suites on this machine too: a file each. */
const drawn = join(tmpdir(), "preftune-test-ports");

/** Whether a port is this test's for the next hour. */
function reserve(port: number): boolean {
  mkdirSync(drawn, { recursive: true });
  const file = join(drawn, String(port));
  const age = Date.now() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
  if (age > 3_600_000) rmSync(file, { force: true });
  try {
    writeFileSync(file, "", { flag: "wx" });
    return true;
  } catch (error) {
    // where files cannot be made at all, no other port could be drawn either
    if (errorCode(error) !== "EEXIST") throw error;
    return false;
  }
}

/**
 * A port that nobody listens on now, below those that the system hands out, and that no other test has drawn: nobody gets it by chance
 * before it is used.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(15_000, 32_000);
    if (!reserve(port)) continue;
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

/** Variables of a process. */
export type Variables = Record<string, string>;

/** The variables of `size` ranks on this host that meet at a port. */
export function placesOf(size: number, port: number): Variables[] {
  return placesOn(Array<number>(size).fill(0), port);
}

/** The variables of ranks, of which rank r is on host `hosts[r]`, that meet at a port of `address`, as torchrun and Kubeflow set them. */
export function placesOn(hosts: readonly number[], port: number, address = "127.0.0.1"): Variables[] {
  const ranksOn = (host: number, before: number): string =>
    String(hosts.slice(0, before).filter((one) => one === host).length);
  return hosts.map((host, rank) => ({
    RANK: String(rank),
    LOCAL_RANK: ranksOn(host, rank),
    WORLD_SIZE: String(hosts.length),
    LOCAL_WORLD_SIZE: ranksOn(host, hosts.length),
    MASTER_ADDR: address,
    MASTER_PORT: String(port),
  }));
}

/** Starts `preftune ARGS` once for each of `places`. */
export function startRanks(args: readonly string[], places: readonly Variables[]): Running[] {
  return places.map((place) => start(args, place));
}

/** The same, each in a folder: relative paths in `args` are other files for each, as of hosts whose files differ. */
export function startRanksIn(
  folders: readonly string[],
  args: readonly string[],
  places: readonly Variables[],
): Running[] {
  const program = [
    "--conditions=preftune-source",
    join(import.meta.dirname, "../../src/cli/main.ts"),
    ...args,
  ];
  return folders.map((cwd, rank) =>
    startProcess(process.execPath, program, { env: places[rank] ?? {}, cwd }),
  );
}

/** Starts a program of the tests once for each of `places`, all with the same arguments. */
export function startRankPrograms(
  file: string,
  places: readonly Variables[],
  args: readonly string[] = [],
): Running[] {
  return places.map((place) => startProgram([join(import.meta.dirname, file), ...args], place));
}

/** How all ended. */
export function allEnded(ranks: readonly Running[]): Promise<Ended[]> {
  return Promise.all(ranks.map(({ ended }) => ended));
}

/** For tests that start torchrun: false where there is one, else the reason to print. */
export const skipWithoutTorchrun: () => string | false = skipWithoutPeers;

/** Starts `preftune ARGS` by torchrun, on this host; its options can be variables, PET_*. */
export function startTorchrun(
  options: readonly string[],
  args: readonly string[],
  variables: Variables = {},
): Running {
  const [program, ...rest] = torchrunCommand(options, args);
  return startProcess(program, rest, { env: { NODE_OPTIONS: "--conditions=preftune-source", ...variables } });
}

/** The command of `preftune ARGS` by torchrun. */
export function torchrunCommand(options: readonly string[], args: readonly string[]): [string, ...string[]] {
  const torchrun = ["-m", "torch.distributed.run", "--no-python", ...options];
  const main = join(import.meta.dirname, "../../src/cli/main.ts");
  return [peersPython() ?? "", ...torchrun, process.execPath, "--conditions=preftune-source", main, ...args];
}

/** The processes that process `pid` has started, in order of their RANK: the ranks of an agent of torchrun. */
export function childrenOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").match(/\d+/g) ?? [];
  const ranks = new Map<number, number>();
  for (const child of children.map(Number)) {
    const rank = /(?:^|\0)RANK=(\d+)/.exec(readFileSync(`/proc/${child}/environ`, "utf8"))?.[1];
    if (rank !== undefined) ranks.set(child, Number(rank));
  }
  return [...ranks].sort(([, a], [, b]) => a - b).map(([child]) => child);
}
