/**
 * Stands where a shell stands on a terminal: leader of the session, its job in the same process group.
 * `terminal-shell.ts FILE PROGRAM [ARGUMENTS]` writes the job's pid to FILE.pid and, when it has ended, how to FILE.
 * When the terminal is closed it says so to its job, as shells do.
 */
import { spawn } from "node:child_process";
import { renameSync, writeFileSync } from "node:fs";

const [file = "", program = "", ...args] = process.argv.slice(2);

function write(path: string, content: unknown): void {
  writeFileSync(`${path}.part`, JSON.stringify(content));
  renameSync(`${path}.part`, path);
}

const job = spawn(program, args, { stdio: "inherit" });
let isClosed = false;
process.on("SIGINT", () => {}).on("SIGTERM", () => {});
process.on("SIGHUP", () => {
  if (isClosed) return;
  isClosed = true;
  process.kill(0, "SIGHUP");
});
write(`${file}.pid`, job.pid);
job.on("exit", (status, signal) => {
  write(file, { status, signal });
  process.exit();
});
