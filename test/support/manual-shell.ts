/** A folder in which the manual's shell blocks run as a reader runs them. */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { type Ended, startProcess } from "./command.ts";

const root = join(import.meta.dirname, "../..");

/**
 * Makes the folder `cwd`, in which `npx preftune` is the program of this checkout.
 *
 * @param links - what else is there: name, and where it leads
 */
export function manualShell(
  cwd: string,
  links: Readonly<Record<string, string>>,
): (script: string) => Promise<Ended> {
  const bin = join(cwd, ".bin");
  mkdirSync(bin, { recursive: true });
  for (const [name, target] of Object.entries(links)) symlinkSync(target, join(cwd, name));
  const program = `"${process.execPath}" --conditions=preftune-source "${join(root, "src/cli/main.ts")}"`;
  writeFileSync(
    join(bin, "npx"),
    `#!/bin/sh\n[ "$1" = preftune ] || exit 127\nshift\nexec ${program} "$@"\n`,
  );
  chmodSync(join(bin, "npx"), 0o755);
  symlinkSync(process.execPath, join(bin, "node"));
  const env = { PATH: `${bin}${delimiter}${process.env["PATH"]}`, OMP_NUM_THREADS: "1" };
  return (script) => startProcess("bash", ["-c", `set -e\n${script}`], { cwd, env }).ended;
}
