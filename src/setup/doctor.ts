/** Gathers the facts that decide whether training can start, and names what is missing with the command that fixes it. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { messageOf } from "../base/errors.ts";
import { type Compiler, compilerInstallCommand, findCompiler, isClang } from "./compiler.ts";
import { findTorch, type Torch } from "./find-torch.ts";
import {
  computesBfloat16,
  type Memory,
  type Processor,
  readFreeDisk,
  readMemory,
  readProcessor,
} from "./hardware.ts";
import { pythonInstallCommand, requirePip } from "./install-torch.ts";
import { askedSet, featuresWithin, type InstructionSet } from "./instruction-set.ts";
import { locateAddon, ncclBeside } from "./locate.ts";
import { chooseMatmul, type MatmulChoice } from "./matmul-choice.ts";
import { gpuComputesBfloat16, gpuOf, type NvidiaGpu, readNvidiaGpus, visibleGpus } from "./nvidia.ts";
import { isCheckout, packageRoot, setupCommand, stateFolder } from "./places.ts";
import type { SetupRecord } from "./record.ts";
import { recordedSetup } from "./set-up.ts";

/** Something missing or wrong. `blocking`: training cannot start before it is fixed. */
export interface Problem {
  what: string;
  fix: string;
  blocking: boolean;
}

/** What the loaded addon says about the torch it is bound to. */
export interface LoadedAddon {
  torchVersion: string;
  cudaDevices: number;
  hasMps: boolean;
  threads: number;
  /** Whether torch has oneDNN's matrix products for this processor. */
  hasOnednn: boolean;
  /** The instruction set of the addon's own kernels. */
  instructionSet: InstructionSet;
}

/** The addon: not built, built but not loading (`error`), or loaded. */
export interface AddonReport {
  path: string | null;
  /** Why several GPUs cannot be used, and what to do; null where they can, or torch has no CUDA. */
  noNccl: string | null;
  /** Whether it came compiled, in a package of this platform; false: it was compiled here, or PREFTUNE_ADDON names it. */
  prebuilt: boolean;
  /** Whether PREFTUNE_ADDON names it: neither torch nor a compiler is looked for then. */
  given: boolean;
  loaded: LoadedAddon | null;
  error: string | null;
}

/** All facts of `preftune doctor`. */
export interface DoctorReport {
  preftune: { folder: string; checkout: boolean };
  node: { version: string; path: string };
  /** The torch that was found; null too where PREFTUNE_ADDON names the addon, which then says which torch it opens. */
  torch: Torch | null;
  compiler: Compiler | null;
  addon: AddonReport;
  processor: Processor;
  /** What PREFTUNE_ISA holds products and kernels to; null where it does not. */
  askedSet: InstructionSet | null;
  memory: Memory;
  diskFreeBytes: number;
  gpus: NvidiaGpu[];
  /** The library of float32 matrix products on the CPU; null while there is no addon. */
  matmul: MatmulChoice | null;
  /** Where a run with `device: auto` computes, and the dtype that `dtype: auto` gives there. */
  defaults: { device: string; dtype: "float32" | "bfloat16" };
  problems: Problem[];
  ready: boolean;
}

/** Runs in a child process: an addon that crashes while it loads must not take the doctor with it. */
const loadTest = `const a = require(process.argv[1]);
const { name, count } = a.accelerator() ?? {};
console.log(JSON.stringify({ torchVersion: a.torchVersion(), cudaDevices: name === "cuda" ? count : 0,
  hasMps: name === "mps", threads: a.threads(), hasOnednn: a.hasOnednn(),
  instructionSet: a.instructionSet() }));`;

function lastLines(text: string): string {
  return text.trim().split("\n").slice(-6).join("\n");
}

/** Loads the addon at `path` in a child process. */
export function tryAddon(
  path: string,
  { noNccl = null, prebuilt = false, given = false }: Partial<SetupRecord & { given: boolean }> = {},
): AddonReport {
  const result = spawnSync(process.execPath, ["-e", loadTest, path], { encoding: "utf8", timeout: 120_000 });
  if (result.status === 0)
    return { path, noNccl, prebuilt, given, loaded: JSON.parse(result.stdout) as LoadedAddon, error: null };
  const reason = result.stderr.match(/^Error: .*/m)?.[0] ?? lastLines(result.stderr);
  return {
    path,
    noNccl,
    prebuilt,
    given,
    loaded: null,
    error: reason === "" ? `ended by ${result.signal ?? result.error?.message}` : reason,
  };
}

/** The value of `read`, or null and a problem with its message. */
function attempt<T>(problems: Problem[], fix: string, read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    problems.push({ what: messageOf(error), fix, blocking: true });
    return null;
  }
}

/** The addon that PREFTUNE_ADDON names, as in a container. */
function reportGivenAddon(problems: Problem[]): AddonReport {
  const fix = "unset PREFTUNE_ADDON";
  const path = attempt(problems, fix, locateAddon);
  if (path === null) {
    const error = "PREFTUNE_ADDON names no file";
    return { path, noNccl: null, prebuilt: false, given: true, loaded: null, error };
  }
  const report = tryAddon(path, { given: true });
  if (report.error !== null) {
    problems.push({ what: `the addon does not load: ${report.error}`, fix, blocking: true });
  }
  const nccl = ncclBeside(path);
  return report.loaded?.cudaDevices && !existsSync(nccl) ? { ...report, noNccl: `no ${nccl}` } : report;
}

/**
 * What an addon of this compiler lacks on Linux; null for one that is not clang.
 *
 * @param rebuild - the command that builds the addon again
 */
export function clangProblem(version: string, rebuild: string): Problem | null {
  if (process.platform !== "linux" || !isClang({ version })) return null;
  return {
    what:
      `the addon was built by clang (${version}), which makes its kernels for the baseline of the processor alone and without torch's ` +
      "threads: attention, generation and the products that it makes are slower, and on one core whatever `threads` is",
    fix: `${compilerInstallCommand()}; ${process.env["CXX"] ? "unset CXX; " : ""}${rebuild}`,
    blocking: false,
  };
}

function reportAddon(problems: Problem[]): AddonReport {
  const { record, problem } = recordedSetup();
  if (record === null || problem !== null) {
    problems.push({
      what: `the addon that binds torch is not ready: ${problem}. The next command sees to it; to do it now:`,
      fix: setupCommand,
      // what that needs, a torch and a compiler, are separate problems
      blocking: false,
    });
    return { path: null, noNccl: null, prebuilt: false, given: false, loaded: null, error: problem };
  }
  const report = tryAddon(record.addon, record);
  const rebuild = `rm -r "${stateFolder()}/addon" && ${setupCommand}`;
  const ofCompiler = clangProblem(record.compiler ?? "", rebuild);
  if (ofCompiler !== null) problems.push(ofCompiler);
  if (report.error !== null) {
    const fix = rebuild;
    problems.push({ what: `the addon does not load: ${report.error}`, fix, blocking: true });
  }
  return report;
}

function reportTorch(problems: Problem[]): Torch | null {
  const search = attempt(problems, "unset PREFTUNE_TORCH", findTorch);
  if (search === null) return null;
  if (search.torch === null) {
    const refused = search.refused.map((reason) => ` (${reason})`).join("");
    const found = problems.length;
    attempt(problems, pythonInstallCommand(), requirePip);
    if (problems.length === found) {
      const what = `no torch was found${refused}. The next command installs it (200 MB and more); to do it now:`;
      problems.push({ what, fix: setupCommand, blocking: false });
    }
  }
  return search.torch;
}

/** @param addonLoads - then nothing has to be compiled */
export function reportCompiler(problems: Problem[], addonLoads: boolean): Compiler | null {
  const found = problems.length;
  const compiler = attempt(problems, "unset CXX", findCompiler);
  // a CXX that does not run says nothing of what is on the path
  if (compiler === null && problems.length === found) {
    const what = "no C++ compiler (c++, g++, clang++) is on the path; the addon is built with it";
    problems.push({ what, fix: compilerInstallCommand(), blocking: !addonLoads });
  }
  return compiler;
}

/** Device and dtype that `auto` stands for, from what the addon and nvidia-smi say. */
export function defaultsOf(
  addon: LoadedAddon | null,
  gpus: readonly NvidiaGpu[],
  features: readonly string[],
): DoctorReport["defaults"] {
  if (addon !== null && addon.cudaDevices > 0) {
    return {
      device: "cuda",
      dtype: gpuComputesBfloat16("cuda", gpuOf("cuda", visibleGpus(gpus))) ? "bfloat16" : "float32",
    };
  }
  if (addon?.hasMps === true) return { device: "mps", dtype: "float32" };
  return { device: "cpu", dtype: computesBfloat16(features) ? "bfloat16" : "float32" };
}

/** Gathers everything. Changes nothing and works with anything missing. */
export function runDoctor(): Promise<DoctorReport> {
  const problems: Problem[] = [];
  const given = (process.env["PREFTUNE_ADDON"] ?? "") !== "";
  const torch = given ? null : reportTorch(problems);
  const addon = given ? reportGivenAddon(problems) : reportAddon(problems);
  const compiler = given ? null : reportCompiler(problems, addon.loaded !== null);
  const processor = readProcessor();
  const asked = attempt(problems, "unset PREFTUNE_ISA", () => askedSet(processor.features));
  const features = asked === null ? processor.features : featuresWithin(asked, processor.features);
  const gpus = readNvidiaGpus();
  if (gpus.length > 0 && torch !== null && torch.cuda === null) {
    const fix = `install a CUDA build of torch (python3 -m pip install torch), or set PREFTUNE_TORCH to one; then ${setupCommand}`;
    problems.push({
      what: "there is an NVIDIA GPU, but this torch is built without CUDA",
      fix,
      blocking: false,
    });
  }
  return Promise.resolve({
    preftune: { folder: packageRoot, checkout: isCheckout },
    node: { version: process.versions.node, path: process.execPath },
    torch,
    compiler,
    addon,
    processor,
    askedSet: asked,
    memory: readMemory(),
    diskFreeBytes: readFreeDisk(stateFolder()),
    gpus,
    matmul:
      addon.loaded === null
        ? null
        : attempt(problems, "unset PREFTUNE_MATMUL and PREFTUNE_ISA", () =>
            chooseMatmul(addon.loaded?.hasOnednn === true),
          ),
    defaults: defaultsOf(addon.loaded, gpus, features),
    problems,
    ready: problems.every((problem) => !problem.blocking),
  });
}
