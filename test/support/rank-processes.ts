/** Processes that are the ranks of a run, as a launcher would start them. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { Readable } from "node:stream";

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (typeof address === "object" && address !== null) return address.port;
  throw new Error("expected a port");
}

/** How a process ended and what it printed. */
export interface ProcessEnd {
  status: number | null;
  signal: NodeJS.Signals | null;
  out: string;
  err: string;
  seconds: number;
}

/** A process that was started. */
export interface Started {
  process: ChildProcessByStdio<null, Readable, Readable>;
  /** What it has printed so far, on both streams. */
  printed(): string;
  ended: Promise<ProcessEnd>;
}

/** Starts `command` with `env` over this process's own variables; killed when it takes longer than `limitMs`. */
export function startProcess(
  command: readonly [string, ...string[]],
  env: Readonly<Record<string, string>>,
  { limitMs = 240_000, cwd }: { limitMs?: number; cwd?: string } = {},
): Started {
  const [program, ...words] = command;
  const began = performance.now();
  const child = spawn(program, words, {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    ...(cwd === undefined ? {} : { cwd }),
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
  const text = { out: "", err: "", all: "" };
  const keep = (stream: "out" | "err") => (part: string) => {
    text[stream] += part;
    text.all += part;
  };
  child.stdout.setEncoding("utf8").on("data", keep("out"));
  child.stderr.setEncoding("utf8").on("data", keep("err"));
  const ended = once(child, "close").then(([status, signal]): ProcessEnd => {
    clearTimeout(timer);
    const { out, err } = text;
    return { status, signal, out, err, seconds: (performance.now() - began) / 1000 };
  });
  return { process: child, printed: () => text.all, ended };
}

/** The variables of `size` ranks on this host that meet at a port. */
export function placesOf(size: number, port: number): Record<string, string>[] {
  return Array.from({ length: size }, (_, rank) => ({
    RANK: String(rank),
    LOCAL_RANK: String(rank),
    WORLD_SIZE: String(size),
    LOCAL_WORLD_SIZE: String(size),
    MASTER_ADDR: "127.0.0.1",
    MASTER_PORT: String(port),
  }));
}

/** The command that runs a file of the tests. */
export function nodeCommand(file: string): [string, ...string[]] {
  return [process.execPath, "--conditions=preftune-source", file];
}
