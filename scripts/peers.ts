/**
 * `npm run peers [-- --bench]`: a Python environment `.preftune/peers` with pinned transformers and PEFT, for the tests
 * that let them read what preftune writes; `--bench` adds TRL for the benchmarks. In place already: nothing is done.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ConfigError, PreftuneError } from "../src/base/errors.ts";
import { pythonInstallCommand } from "../src/setup/install-torch.ts";
import { findProgram } from "../src/setup/path-search.ts";
import { stateFolder } from "../src/setup/places.ts";
import { runWithProgress } from "../src/setup/progress.ts";
import { pinnedTorch } from "../src/setup/version.ts";

const checkPeers = ["transformers==5.23.0", "peft==0.21.2"];
const benchPeers = ["trl==1.16.0", "accelerate==1.15.0", "datasets==5.2.0"];

async function step(title: string, program: string, args: string[]): Promise<void> {
  const { status, output } = await runWithProgress(title, program, args);
  if (status === 0) return;
  throw new PreftuneError(
    `${title} failed:\n${output.trimEnd()}\nPython's venv and pip are needed: ${pythonInstallCommand()}`,
  );
}

/** Builds the environment under another name first: an interrupted one is never taken for a finished one. */
async function install(folder: string, packages: string[]): Promise<void> {
  const python = findProgram("python3");
  if (python === null)
    throw new ConfigError(`python3 is not on the path. Install it: ${pythonInstallCommand()}`);
  mkdirSync(stateFolder(), { recursive: true });
  rmSync(folder, { recursive: true, force: true });
  await step("making a Python environment", python, ["-m", "venv", folder]);
  const inside = join(folder, "bin", "python");
  const pip = ["-m", "pip", "install", "--progress-bar", "off"];
  // torch first and alone: pip then keeps this build for the packages that ask for any torch
  await step(`installing torch ${pinnedTorch} for the peers`, inside, [...pip, `torch==${pinnedTorch}`]);
  await step(`installing ${packages.join(", ")}`, inside, [...pip, ...packages]);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { bench: { type: "boolean", default: false } } });
  const folder = join(stateFolder(), "peers");
  const stamp = join(folder, "preftune-stamp");
  const present = existsSync(stamp) ? readFileSync(stamp, "utf8") : "";
  const check = [`torch==${pinnedTorch}`, ...checkPeers].join("\n");
  const wanted = values.bench ? [check, ...benchPeers].join("\n") : check;
  if (!present.startsWith(wanted)) {
    await install(folder, values.bench ? [...checkPeers, ...benchPeers] : checkPeers);
    writeFileSync(`${stamp}.new`, wanted);
    renameSync(`${stamp}.new`, stamp);
  }
  process.stdout.write(`peers in place: ${join(folder, "bin", "python")}\n`);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof PreftuneError)) throw error;
  process.stderr.write(`preftune: ${error.message}\n`);
  process.exitCode = error.exitCode;
}
