/** Programs of others that may take half an hour: package managers, builders of images. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { dirname } from "node:path";

/** Runs `program` in `cwd`, with this Node before others; fails with all that it printed unless it ends with 0. @returns its standard output */
export function runProgram(cwd: string, program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    encoding: "utf8",
    timeout: 1_800_000,
    maxBuffer: 2 ** 26,
    env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env["PATH"]}` },
  });
  assert.equal(status, 0, `${program} ${args.join(" ")}: ${error?.message ?? ""}\n${stdout}\n${stderr}`);
  return stdout;
}
