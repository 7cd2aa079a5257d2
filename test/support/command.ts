/** Runs the command line in a separate process. */
import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import { scratch } from "./scratch.ts";

const root = join(import.meta.dirname, "../..");

/** Where ranks that a test file starts keep their rows. */
const rowCache = join(scratch(), `preftune-rows-${process.pid}`);
after(() => rmSync(rowCache, { recursive: true, force: true }));

/** What kills each process that is still there. */
const running = new Map<ChildProcess, () => boolean>();
after(() => running.forEach((kill) => void kill()));

/**
 * Has a process, or the group that it leads, killed when the file's tests are over: one that a failed test left running would
 * keep the file from ending.
 */
export function endWithFile<T extends ChildProcess>(child: T, leadsGroup: boolean): T {
  running.set(child, () => {
    if (!leadsGroup) return child.kill("SIGKILL");
    try {
      return process.kill(-(child.pid as number), "SIGKILL");
    } catch {
      return false;
    }
  });
  child.once("close", () => running.delete(child));
  return child;
}

/** How a command ended. */
export interface Ended {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** A running command. */
export interface Running {
  child: ChildProcess;
  /** Resolves when `text` has been written to stdout. */
  saw(text: string): Promise<void>;
  /** Resolves when `text` has been written to stderr. */
  said(text: string): Promise<void>;
  ended: Promise<Ended>;
}

/** Starts `preftune ARGS` from its sources. */
export function start(args: readonly string[], env: Record<string, string> = {}): Running {
  return startProgram([join(root, "src/cli/main.ts"), ...args], env);
}

/**
 * Starts `preftune ARGS` as Node 20 does, where the launcher cannot become the program and stays as its parent, and as the
 * leader of a process group: `process.kill(-pid, "SIGINT")` reaches all of it, as Ctrl-C on a terminal does.
 */
export function startLaunched(args: readonly string[]): Running {
  const asNode20 = ["--import", "data:text/javascript,process.execve=undefined"];
  return startProgram([...asNode20, join(root, "bin/preftune.mjs"), ...args], {}, true);
}

/** Starts a TypeScript program of the checkout. */
export function startProgram(
  args: readonly string[],
  env: Record<string, string> = {},
  ownGroup: boolean = false,
): Running {
  return startProcess(process.execPath, ["--conditions=preftune-source", ...args], { env, ownGroup });
}

/** Starts any program, in the checkout if no folder is given. */
export function startProcess(
  program: string,
  args: readonly string[],
  {
    env = {},
    ownGroup = false,
    cwd = root,
  }: { env?: Record<string, string>; ownGroup?: boolean; cwd?: string } = {},
): Running {
  const spawned = spawn(program, args, {
    cwd,
    env: { ...process.env, NO_COLOR: "1", PREFTUNE_ROW_CACHE: rowCache, ...env },
    detached: ownGroup,
  });
  const child = endWithFile(spawned, ownGroup);
  const text = { stdout: "", stderr: "" };
  const waiting: { on: "stdout" | "stderr"; text: string; resolve: () => void }[] = [];
  const check = () => {
    for (const waiter of waiting) if (text[waiter.on].includes(waiter.text)) waiter.resolve();
  };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].on("data", (chunk: Buffer) => {
      text[name] += chunk.toString();
      check();
    });
  }
  const ended = new Promise<Ended>((resolve) => {
    child.on("close", (status, signal) => resolve({ status, signal, ...text }));
  });
  const wait = (on: "stdout" | "stderr", wanted: string) =>
    new Promise<void>((resolve, reject) => {
      waiting.push({ on, text: wanted, resolve });
      check();
      void ended.then(({ stderr }) => reject(new Error(`ended before "${wanted}": ${stderr}`)));
    });
  const saw = (wanted: string) => wait("stdout", wanted);
  const said = (wanted: string) => wait("stderr", wanted);
  return { child, saw, said, ended };
}

/** Runs a line that a message gives for pasting, in the checkout, to its end. */
export function shell(line: string): Promise<Ended> {
  return startProcess("sh", ["-c", line]).ended;
}

/** Runs `preftune ARGS` to its end. */
export function preftune(...args: string[]): Promise<Ended> {
  return start(args).ended;
}
