/** The whole set-up after the npm packages: torch found or installed, addon built, both recorded. */
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { messageOf, PreftuneError } from "../base/errors.ts";
import { makeDirectory } from "../base/files.ts";
import type { Compiler } from "./compiler.ts";
import type { Torch } from "./find-torch.ts";
import { processorName } from "./hardware.ts";
import { measureMatmul } from "./matmul-choice.ts";
import { sourcesHash } from "./native-sources.ts";
import { oneAtATime } from "./one-at-a-time.ts";
import { findProgram } from "./path-search.ts";
import { stateFolder } from "./places.ts";
import {
  type MatmulMeasurement,
  readRecord,
  recordProblem,
  type SetupInputs,
  type SetupRecord,
  saveRecord,
  writeRecord,
} from "./record.ts";

/** What a finished set-up gives. */
export interface Setup {
  torch: Torch;
  /** Path of the compiled addon. */
  addon: string;
}

function currentInputs(): SetupInputs {
  const choice = process.env["PREFTUNE_PREBUILT"] ?? "";
  return {
    torchVariable: process.env["PREFTUNE_TORCH"] ?? "",
    python: findProgram("python3"),
    compilerVariable: process.env["CXX"] ?? "",
    platform: `${process.platform}-${process.arch}`,
    sources: sourcesHash(),
    ...(choice === "" ? {} : { prebuilt: choice }),
  };
}

/** The recorded set-up, and why it does not hold any more (null when it does). Changes nothing. */
export function recordedSetup(): { record: SetupRecord | null; problem: string | null } {
  const record = readRecord(stateFolder());
  return {
    record,
    problem: record === null ? "nothing is built yet" : recordProblem(record, currentInputs()),
  };
}

/**
 * Finds or installs torch and builds the addon; a few milliseconds when all is in place.
 *
 * Progress goes to standard error.
 * @throws {PreftuneError} with the command that fixes it
 */
export async function setUp(): Promise<Setup> {
  const { record, problem } = recordedSetup();
  const holds = record !== null && problem === null;
  if (holds && !isToBeMeasured(stateFolder(), record)) return { torch: record.torch, addon: record.addon };
  makeDirectory(stateFolder());
  const say = (line: string): void => void process.stderr.write(`preftune: ${line}\n`);
  return await oneAtATime(join(stateFolder(), "setup.lock"), say, setUpUnderLock);
}

/** What the process that was waited for has set up, or a set-up of this one. */
async function setUpUnderLock(): Promise<Setup> {
  const { record, problem } = recordedSetup();
  if (record === null || problem !== null) return await setUpAnew();
  keepMeasurement(stateFolder(), record);
  return { torch: record.torch, addon: record.addon };
}

/** Whether nothing is known of this processor, and what is measured can be kept: a folder that cannot be written stays as it is. */
function isToBeMeasured(folder: string, record: SetupRecord): boolean {
  if (record.matmul?.[processorName()] !== undefined) return false;
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Measures matrix products where `record` knows nothing of this processor: the folder came here from another one, or from an
 * earlier version. A folder that cannot be written stays as it is, and nothing is measured.
 */
export function keepMeasurement(
  folder: string,
  record: SetupRecord,
  measure: typeof measured = measured,
): void {
  if (!isToBeMeasured(folder, record)) return;
  try {
    saveRecord(folder, { ...record, matmul: { ...record.matmul, ...measure(record.addon) } });
  } catch {
    // the library is then the one assumed for an unknown processor
  }
}

function measured(addon: string): Record<string, MatmulMeasurement | null> {
  return { [processorName()]: measureMatmul(addon) };
}

async function setUpAnew(): Promise<Setup> {
  // loaded only when there is work: the usual start stays short
  const [{ findTorch }, { installTorch }] = await Promise.all([
    import("./find-torch.ts"),
    import("./install-torch.ts"),
  ]);
  const folder = stateFolder();
  const inputs = currentInputs();
  let search = findTorch();
  for (const reason of search.refused) process.stderr.write(`preftune: ${reason}\n`);
  if (search.torch === null) {
    await installTorch();
    search = findTorch();
  }
  const { torch } = search;
  if (torch === null)
    throw new PreftuneError(`torch was installed but cannot be used: ${search.refused.join("; ")}`);
  const { findCompiler } = await import("./compiler.ts");
  const compiler = findCompiler();
  const { addon, prebuilt, watched } = await addonFor(torch, compiler, inputs.sources);
  const { addNccl } = await import("./addon.ts");
  const { noNccl, watched: ofNccl } = await addNccl(addon, torch, compiler, inputs.sources);
  if (noNccl !== null) process.stderr.write(`preftune: one GPU can be used, several not: ${noNccl}\n`);
  const files = [...search.watched, ...watched, ...ofNccl];
  const builtBy = prebuilt ? null : (compiler?.version ?? null);
  const record = { inputs, torch, addon, noNccl, compiler: builtBy, prebuilt, matmul: measured(addon) };
  writeRecord(folder, record, files);
  return { torch, addon };
}

/** The prebuilt addon where one fits, else one that is compiled. */
async function addonFor(
  torch: Torch,
  compiler: Compiler | null,
  sources: string,
): Promise<{ addon: string; prebuilt: boolean; watched: string[] }> {
  const { prebuiltAddon } = await import("./prebuilt.ts");
  const { addon, refused, watched } = await prebuiltAddon(torch, sources);
  if (addon !== null) return { addon, prebuilt: true, watched };
  if (refused !== null) process.stderr.write(`preftune: the prebuilt addon is not used: ${refused}\n`);
  const { buildAddon } = await import("./addon.ts");
  const built = await buildAddon(torch, compiler, sources);
  return {
    addon: built,
    prebuilt: false,
    watched: [...watched, ...(compiler === null ? [] : [compiler.path])],
  };
}

/** `setUp`, ending the process with the error's message and status when it fails. */
export async function setUpOrExit(): Promise<Setup> {
  try {
    return await setUp();
  } catch (error) {
    if (!(error instanceof PreftuneError)) throw error;
    process.stderr.write(`preftune: ${messageOf(error)}\n`);
    process.exit(error.exitCode);
  }
}
