/** Runs of several processes in tests: started as a launcher starts them, and their ends. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Values } from "./runs.ts";

/** A port of this host that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (typeof address !== "object" || address === null) throw new Error("expected a port");
  return address.port;
}

/** How a rank ended. */
export interface RankEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** A rank under way. */
export interface StartedRank {
  process: ChildProcess;
  ended: Promise<RankEnd>;
}

const compiled = join(import.meta.dirname, "../../.preftune/compile-cache");

/** Starts `size` processes that run `program` with the variables of Kubeflow, and of a host with all of them. */
export async function startRanks(
  size: number,
  program: string,
  args: readonly string[],
  variables: Record<string, string> = {},
): Promise<StartedRank[]> {
  const port = String(await freePort());
  return Array.from({ length: size }, (_, rank) => {
    const own = { RANK: String(rank), LOCAL_RANK: String(rank) };
    const all = { WORLD_SIZE: String(size), LOCAL_WORLD_SIZE: String(size) };
    const child = spawn(process.execPath, ["--conditions=preftune-source", program, ...args], {
      env: {
        ...process.env,
        NODE_COMPILE_CACHE: compiled,
        MASTER_ADDR: "127.0.0.1",
        MASTER_PORT: port,
        ...own,
        ...all,
        ...variables,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = Promise.all([once(child, "close"), text(child.stdout), text(child.stderr)]).then(
      ([[code, signal], stdout, stderr]) => ({ code, signal, stdout, stderr }),
    );
    return { process: child, ended };
  });
}

/** Trains with `size` ranks to the end. @throws if a rank ends otherwise than by 0, with what it printed */
export async function trainOnRanks(
  size: number,
  values: Values,
  variables: Record<string, string> = {},
): Promise<RankEnd[]> {
  const child = join(import.meta.dirname, "train-rank-child.ts");
  const ranks = await startRanks(size, child, [JSON.stringify(values)], variables);
  const ends = await Promise.all(ranks.map(({ ended }) => ended));
  if (ends.some(({ code }) => code !== 0)) {
    const said = ends.map(
      ({ code, signal, stderr }, rank) => `rank ${rank} ended with ${code ?? signal}: ${stderr}`,
    );
    throw new Error(said.join("\n"));
  }
  return ends;
}
