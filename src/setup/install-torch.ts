/** Installs the pinned torch into the project's own folder, with the user's pip and its configuration. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { io } from "../base/file-io.ts";
import { makeDirectory } from "../base/files.ts";
import { findProgram } from "./path-search.ts";
import { runWithProgress } from "./progress.ts";
import { projectTorchFolder } from "./torch.ts";
import { pinnedTorch } from "./version.ts";

const otherWays =
  "Or set PREFTUNE_TORCH to the folder of an installed Python package torch or of an unzipped libtorch.";

/** The command that installs Python with pip on this system. */
export function pythonInstallCommand(): string {
  if (process.platform === "darwin") return "xcode-select --install   (brings python3 with pip)";
  if (existsSync("/etc/debian_version")) return "sudo apt-get install python3-pip python3-venv";
  return "sudo dnf install python3-pip";
}

/**
 * The Python whose pip installs torch.
 *
 * @throws {ConfigError} when there is none, or it has no pip
 */
export function requirePip(): string {
  const python = findProgram("python3");
  if (python === null) {
    throw new ConfigError(
      `torch is not installed and there is no python3 on the path to install it with. ` +
        `Install Python: ${pythonInstallCommand()}. ${otherWays}`,
    );
  }
  if (spawnSync(python, ["-m", "pip", "--version"], { timeout: 60_000 }).status === 0) return python;
  throw new ConfigError(
    `torch is not installed and ${python} has no pip to install it with. Install pip: ${pythonInstallCommand()}. ${otherWays}`,
  );
}

/** Puts a finished installation in its place; one that another process put there meanwhile is as good. */
function moveIntoPlace(fresh: string, target: string): void {
  const old = `${target}.old-${process.pid}`;
  if (existsSync(target)) io.renameSync(target, old);
  io.renameSync(fresh, target);
  io.rmSync(old);
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Removes what installations that were killed left beside `target`. */
export function removeLeftovers(target: string): void {
  for (const name of readdirSync(dirname(target))) {
    const [, base, pid] = /^(.*)\.(?:new|old)-(\d+)$/.exec(name) ?? [];
    if (base !== basename(target) || isRunning(Number(pid))) continue;
    io.rmSync(join(dirname(target), name));
  }
}

/**
 * Installs torch into `.preftune/torch`: into a folder beside it first, so that an interrupted installation is never
 * taken for a finished one.
 *
 * @throws {ConfigError} when Python or pip is missing or pip fails, with pip's own words
 */
export async function installTorch(): Promise<void> {
  const python = requirePip();
  const target = projectTorchFolder();
  const fresh = `${target}.new-${process.pid}`;
  makeDirectory(dirname(target));
  removeLeftovers(target);
  const args = [
    "-m",
    "pip",
    "install",
    "--target",
    fresh,
    "--no-warn-script-location",
    "--progress-bar",
    "off",
  ];
  try {
    const { status, output } = await runWithProgress(
      `installing torch ${pinnedTorch} into ${target} (once; 200 MB and more to fetch)`,
      python,
      [...args, `torch==${pinnedTorch}`],
    );
    if (status !== 0) {
      throw new ConfigError(
        `pip could not install torch ${pinnedTorch}:\n${output.trimEnd()}\n` +
          `Mend what it says (an older Python has no such torch; a proxy goes into pip's configuration). ${otherWays}`,
      );
    }
    moveIntoPlace(fresh, target);
  } finally {
    io.rmSync(fresh);
  }
}
