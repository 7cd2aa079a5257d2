/** A training that is started from the dashboard: a process group that outlives it, with its output in a file. */
import { spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { io } from "../base/file-io.ts";
import { isRunning, startOf } from "../base/process-state.ts";

/** A process and when it started: another of the same number has another start. */
export interface ProcessId {
  pid: number;
  /** Clock ticks since boot; null where the system does not say. */
  started: string | null;
}

/** What is started, and where. */
export interface JobProcess {
  /** A program and its first arguments; no shell takes part. */
  program: readonly string[];
  argv: readonly string[];
  cwd: string;
  /** File that standard output and error are appended to. */
  output: string;
}

/** Starts it. @returns its process, or null where there is no such program; `onEnd` gets the exit status while this process lives */
export function startDetached(job: JobProcess, onEnd: (status: number | null) => void): ProcessId | null {
  const [command = "", ...first] = job.program;
  const fd = io.openSync(job.output, "a");
  try {
    const child = spawn(command, [...first, ...job.argv], {
      ...{ cwd: job.cwd, detached: true, stdio: ["ignore", fd, fd] },
      // lines for a file, not for a terminal
      env: { ...process.env, NO_COLOR: "1" },
    });
    child.once("exit", (status) => onEnd(status));
    child.once("error", () => onEnd(null));
    child.unref();
    return child.pid === undefined ? null : { pid: child.pid, started: startOf(child.pid) };
  } finally {
    closeSync(fd);
  }
}

/** Whether that very process runs. */
export function isAlive({ pid, started }: ProcessId): boolean {
  return isRunning(pid) && (started === null || startOf(pid) === started);
}
