/**
 * The Python environments that tests and benchmarks compare with, at pinned versions: `.preftune/peers` with transformers and
 * PEFT, and TRL if asked for; `.preftune/peers-eval` beside it with EleutherAI's lm-eval on the same packages;
 * `.preftune/peers-gguf` with gguf-py, TensorBoard and, as npm packages, llama.cpp (`llama-peer.ts`); `.preftune/peers-trackers`
 * with Trackio, MLflow and W&B.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, PreftuneError } from "../src/base/errors.ts";
import { pythonInstallCommand } from "../src/setup/install-torch.ts";
import { findProgram } from "../src/setup/path-search.ts";
import { stateFolder } from "../src/setup/places.ts";
import { pinnedTorch } from "../src/setup/version.ts";
import { runWithProgress } from "../src/terminal/run-with-progress.ts";
import { llamaPackages } from "./llama-peer.ts";

const checkPeers = ["transformers==5.23.0", "peft==0.21.2"];
const benchPeers = ["trl==1.16.0", "accelerate==1.15.0", "datasets==5.2.0"];
const evalPeers = ["lm-eval[api]==0.4.13", "datasets==5.2.0", "accelerate==1.15.0"];

const ggufPeers = ["gguf==0.19.0", "tensorboard==2.21.0"];

const trackerPeers = ["trackio==0.43.0", "mlflow==3.17.2", "wandb==0.31.0"];

async function step(title: string, program: string, args: string[]): Promise<void> {
  const { status, output } = await runWithProgress(title, program, args);
  if (status === 0) return;
  throw new PreftuneError(
    `${title} failed:\n${output.trimEnd()}\nPython's venv and pip are needed: ${pythonInstallCommand()}`,
  );
}

// Python compiles what it imports: a small part of all these files
const pip = ["-m", "pip", "install", "--no-compile", "--progress-bar", "off"];

/** Makes an empty environment and gives its Python. */
async function environment(folder: string): Promise<string> {
  const python = findProgram("python3");
  if (python === null)
    throw new ConfigError(`python3 is not on the path. Install it: ${pythonInstallCommand()}`);
  mkdirSync(stateFolder(), { recursive: true });
  rmSync(folder, { recursive: true, force: true });
  await step("making a Python environment", python, ["-m", "venv", folder]);
  return join(folder, "bin", "python");
}

async function installPeers(folder: string, packages: string[]): Promise<void> {
  const inside = await environment(folder);
  // torch first and alone: pip then keeps this build for the packages that ask for any torch
  await step(`installing torch ${pinnedTorch} for the peers`, inside, [...pip, `torch==${pinnedTorch}`]);
  await step(`installing ${packages.join(", ")}`, inside, [...pip, ...packages]);
}

/** lm-eval in a separate environment, which sees the peers' packages behind its own: they stay as they are. */
async function installEval(folder: string, peers: string): Promise<void> {
  const inside = await environment(folder);
  const [version] = readdirSync(join(folder, "lib"));
  if (version === undefined) throw new PreftuneError(`${folder}/lib: expected a Python there, got nothing.`);
  const packages = (root: string) => join(root, "lib", version, "site-packages");
  writeFileSync(join(packages(folder), "preftune-peers.pth"), `${packages(peers)}\n`);
  await step(`installing ${evalPeers.join(", ")}`, inside, [...pip, ...evalPeers, ...checkPeers]);
}

/** gguf-py and TensorBoard, and llama.cpp's prebuilt library where there is one for this platform. No package runs a script. */
async function installGguf(folder: string, packages: string[]): Promise<void> {
  const inside = await environment(folder);
  await step(`installing ${ggufPeers.join(", ")}`, inside, [...pip, ...ggufPeers]);
  if (packages.length === 0) return;
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  const options = ["--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--prefix", folder];
  const npm = findProgram("npm");
  if (npm === null) throw new ConfigError("npm is not on the path. Install Node with npm.");
  await step(`installing ${packages.join(", ")}`, npm, ["install", ...options, ...packages]);
}

/**
 * Runs `install` unless `folder` holds what is wanted. Its stamp is written last: an environment whose making was
 * interrupted is never taken for a finished one.
 */
async function ensure(folder: string, wanted: string, install: () => Promise<void>): Promise<void> {
  const stamp = join(folder, "preftune-stamp");
  const present = existsSync(stamp) ? readFileSync(stamp, "utf8") : "";
  if (!present.startsWith(wanted)) {
    await install();
    writeFileSync(`${stamp}.new`, wanted);
    renameSync(`${stamp}.new`, stamp);
  }
  process.stdout.write(`peers in place: ${join(folder, "bin", "python")}\n`);
}

/**
 * Installs what is not in place yet.
 *
 * @param more - `bench`: TRL as well; `eval`: lm-eval as well; `gguf`: gguf-py, TensorBoard and llama.cpp as well; `trackers`:
 *   Trackio, MLflow and W&B as well
 * @throws {PreftuneError} when Python, pip or the package index fail, with their words
 */
export async function ensurePeers(
  more: Readonly<Record<"bench" | "eval" | "gguf" | "trackers", boolean>>,
): Promise<void> {
  const peers = join(stateFolder(), "peers");
  const packages = more.bench ? [...checkPeers, ...benchPeers] : checkPeers;
  const wanted = [`torch==${pinnedTorch}`, ...packages].join("\n");
  await ensure(peers, wanted, () => installPeers(peers, packages));
  if (more.eval) {
    const folder = join(stateFolder(), "peers-eval");
    const beside = [...evalPeers, ...checkPeers].join("\n");
    await ensure(folder, beside, () => installEval(folder, peers));
  }
  if (more.trackers) {
    const folder = join(stateFolder(), "peers-trackers");
    await ensure(folder, trackerPeers.join("\n"), async () => {
      const inside = await environment(folder);
      await step(`installing ${trackerPeers.join(", ")}`, inside, [...pip, ...trackerPeers]);
    });
  }
  if (!more.gguf) return;
  const folder = join(stateFolder(), "peers-gguf");
  const llama = llamaPackages();
  await ensure(folder, [...ggufPeers, ...llama].join("\n"), () => installGguf(folder, llama));
}
