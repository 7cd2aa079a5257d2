/** Processes that are the ranks of a run, as a launcher starts them. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { type Ended, type Running, start, startProcess, startProgram } from "./command.ts";
import { peersPython, skipWithoutPeers } from "./peers.ts";

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (typeof address === "object" && address !== null) return address.port;
  throw new Error("expected a port");
}

/** Variables of a process. */
export type Variables = Record<string, string>;

/** The variables of `size` ranks on this host that meet at a port, as torchrun and Kubeflow set them. */
export function placesOf(size: number, port: number): Variables[] {
  return Array.from({ length: size }, (_, rank) => ({
    RANK: String(rank),
    LOCAL_RANK: String(rank),
    WORLD_SIZE: String(size),
    LOCAL_WORLD_SIZE: String(size),
    MASTER_ADDR: "127.0.0.1",
    MASTER_PORT: String(port),
  }));
}

/** Starts `preftune ARGS` once for each of `places`. */
export function startRanks(args: readonly string[], places: readonly Variables[]): Running[] {
  return places.map((place) => start(args, place));
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
  const main = join(import.meta.dirname, "../../src/cli/main.ts");
  return startProcess(
    peersPython() ?? "",
    ["-m", "torch.distributed.run", "--no-python", ...options]
      .concat([process.execPath, "--conditions=preftune-source"])
      .concat([main, ...args]),
    { env: { NODE_OPTIONS: "--conditions=preftune-source", ...variables } },
  );
}

/** The processes that process `pid` has started, in order of their RANK: the ranks of an agent of torchrun. */
export function childrenOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
  const rankOf = (child: number): number => {
    const variables = readFileSync(`/proc/${child}/environ`, "utf8").split("\0");
    return Number(variables.find((each) => each.startsWith("RANK="))?.slice("RANK=".length));
  };
  return children.filter((child) => !Number.isNaN(rankOf(child))).sort((a, b) => rankOf(a) - rankOf(b));
}
