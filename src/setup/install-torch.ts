/** Installs the pinned torch into the project's own folder, with the user's pip and its configuration. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { ConfigError } from "../base/errors.ts";
import { writeDirectoryAtomic } from "../base/files.ts";
import { runWithProgress } from "../terminal/run-with-progress.ts";
import { projectTorchFolder } from "./find-torch.ts";
import { findProgram } from "./path-search.ts";
import { pinnedTorch } from "./version.ts";

const otherWays =
  "Or set PREFTUNE_TORCH to a Python that has torch, or to the folder of a Python package torch or of an unzipped libtorch.";

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

/**
 * Installs torch into `.preftune/torch`: into a folder beside it first, so that an interrupted installation is never
 * taken for a finished one.
 *
 * @throws {ConfigError} when Python or pip is missing or pip fails, with pip's own words
 */
export async function installTorch(): Promise<void> {
  const python = requirePip();
  const target = projectTorchFolder();
  const install = async (fresh: string): Promise<void> => {
    const args = [
      "-m",
      "pip",
      "install",
      // its Python is not run: that of thousands of files need not be compiled
      "--no-compile",
      "--target",
      fresh,
      "--no-warn-script-location",
      "--progress-bar",
      "off",
    ];
    const { status, output } = await runWithProgress(
      `installing torch ${pinnedTorch} into ${target} (once; 200 MB and more to fetch)`,
      python,
      [...args, `torch==${pinnedTorch}`],
    );
    if (status === 0) return;
    throw new ConfigError(
      `pip could not install torch ${pinnedTorch}:\n${output.trimEnd()}\n` +
        `Fix what it says (an older Python has no such torch; a proxy goes into pip's configuration). ${otherWays}`,
    );
  };
  await writeDirectoryAtomic(target, install, { replace: true, durable: false });
}
