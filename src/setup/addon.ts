/**
 * Compiles `native/*.cpp` against a torch, with one call of the system's C++ compiler (docs/decisions/0001).
 * The result is cached by everything that goes into it, so a change of torch, sources or compiler rebuilds it.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { ConfigError, messageOf, TorchError } from "../base/errors.ts";
import { ignoreErrors, io, putInPlace } from "../base/file-io.ts";
import { makeDirectory, sha256 } from "../base/files.ts";
import { runWithProgress } from "../terminal/run-with-progress.ts";
import { type Compiler, compilerInstallCommand, isClang } from "./compiler.ts";
import { ncclBuild, ncclSource } from "./cuda-headers.ts";
import type { Torch } from "./find-torch.ts";
import { ncclBeside } from "./locate.ts";
import { nativeFolder, nativeSources } from "./native-sources.ts";
import { stateFolder } from "./places.ts";

const resolveModule = createRequire(import.meta.url).resolve;

/** What the compiled addon depends on. */
export interface AddonInputs {
  torchVersion: string;
  torchFolder: string;
  sources: string;
  compiler: string;
  platform: string;
  flags: string[];
}

/** Sixteen hexadecimal digits that change whenever one of the inputs does. */
export function addonKey(inputs: AddonInputs): string {
  const { torchVersion, torchFolder, sources, compiler, platform, flags } = inputs;
  return sha256(JSON.stringify([torchVersion, torchFolder, sources, compiler, platform, flags])).slice(0, 16);
}

/** Folders of Node-API's headers, from the package `node-api-headers`. */
export function nodeHeaderFolders(): string[] {
  return [join(dirname(resolveModule("node-api-headers/package.json")), "include")];
}

function linkFlags(torch: Torch, searched: string): string[] {
  const lib = join(torch.folder, "lib");
  // nothing of CUDA is named: libtorch itself loads its CUDA kernels where there are any, and one addon serves both kinds
  const libraries = ["c10", "torch_cpu", "torch"].map((name) => `-l${name}`);
  const search = [`-L${lib}`, `-Wl,-rpath,${searched}`];
  if (process.platform === "darwin") return ["-undefined", "dynamic_lookup", ...search, ...libraries];
  return [...search, "-Wl,--no-as-needed", ...libraries];
}

/** Flags of GCC alone. */
const gccFlags = [
  // torch's threads are those of GCC's OpenMP; clang's would be threads of a second kind, whose number torch does not set
  ...(process.platform === "linux" ? ["-fopenmp"] : []),
  // from GCC 13 on a sum of products in vectors of 256 bits would round twice, one in wider vectors once: kernels that
  // give the same bits would not, and cost more
  ...(process.arch === "x64" ? ["--param=avoid-fma-max-bits=0"] : []),
];

/**
 * Compiler arguments for a torch, without sources and output.
 *
 * @param searched - where the addon looks for torch's libraries when it is loaded; default: where they are now
 */
export function compileFlags(
  torch: Torch,
  nodeHeaders: readonly string[],
  compiler: Pick<Compiler, "version">,
  searched: string = join(torch.folder, "lib"),
): string[] {
  const include = join(torch.folder, "include");
  const gloo = join(nativeFolder, "gloo-names");
  const system = [include, join(include, "torch", "csrc", "api", "include"), ...nodeHeaders, gloo];
  return [
    "-std=c++20",
    "-O2",
    // a root is one instruction, for several numbers at once, where it need not set errno
    "-fno-math-errno",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-Wall",
    // vectors wider than the baseline's registers stay inside functions: there is no call whose form could differ
    "-Wno-psabi",
    ...(isClang(compiler) ? [] : gccFlags),
    ...system.flatMap((folder) => ["-isystem", folder]),
    ...linkFlags(torch, searched),
  ];
}

function requireCompiler(compiler: Compiler | null): Compiler {
  if (compiler !== null) return compiler;
  throw new ConfigError(
    `a C++ compiler is needed to build the addon, and none of c++, g++, clang++ is on the path. ` +
      `Install one: ${compilerInstallCommand()}. Or set CXX to the compiler you have.`,
  );
}

/** What is compiled into one `.node` file. */
export interface NativeUnit {
  /** Of the file. */
  name: string;
  /** In messages, "the addon" say. */
  title: string;
  /** Paths of its sources. */
  files: readonly string[];
  /** Hash of them and of their headers. */
  sources: string;
  /** Compiler arguments besides those that every build has. */
  extra: readonly string[];
}

/**
 * Path of the addon for this torch; compiles it when the cache has none (about half a minute).
 *
 * @param extra - compiler arguments besides those that every build has
 * @throws {ConfigError} when there is no compiler
 * @throws {TorchError} when it does not compile, with the compiler's words
 */
export function buildAddon(
  torch: Torch,
  found: Compiler | null,
  sources: string,
  extra: readonly string[] = [],
): Promise<string> {
  return buildUnit(torch, found, {
    name: "preftune",
    title: "the addon",
    files: addonFiles(),
    sources,
    extra,
  });
}

/** Paths of the addon's own sources. */
export function addonFiles(): string[] {
  return nativeSources()
    .filter((name) => name.endsWith(".cpp") && !name.includes("/"))
    .map((name) => join(nativeFolder, name));
}

/**
 * Path of the unit for this torch; compiles it when the cache has none.
 *
 * @throws {ConfigError} when there is no compiler
 * @throws {TorchError} when it does not compile, with the compiler's words
 */
export async function buildUnit(
  torch: Torch,
  found: Compiler | null,
  { name, title, files, sources, extra }: NativeUnit,
): Promise<string> {
  const compiler = requireCompiler(found);
  const flags = [...compileFlags(torch, nodeHeaderFolders(), compiler), ...extra];
  const key = addonKey({
    torchVersion: torch.version,
    torchFolder: torch.folder,
    sources,
    compiler: compiler.version,
    platform: `${process.platform}-${process.arch}`,
    flags,
  });
  const target = join(stateFolder(), "addon", key, `${name}.node`);
  if (!existsSync(target)) await compile({ torch, compiler, title, files, flags, target });
  return target;
}

/** What setting up several GPUs came to. */
export interface NcclOutcome {
  /** Why several cannot be used, and what to do; null where they can, or torch has no CUDA. */
  noNccl: string | null;
  /** Files and folders whose change can change the outcome. */
  watched: string[];
}

/** Puts what several GPUs need beside the addon, where torch has CUDA. Without it one GPU works all the same. */
export async function addNccl(
  addon: string,
  torch: Torch,
  found: Compiler | null,
  sources: string,
): Promise<NcclOutcome> {
  if (torch.cuda === null) return { noNccl: null, watched: [] };
  const watched: string[] = [];
  try {
    // before headers are fetched, which are of no use without it
    const compiler = requireCompiler(found);
    const build = await ncclBuild(torch);
    watched.push(compiler.path, ...build.watched);
    if (build.args.length === 0) return { noNccl: build.problem, watched };
    const unit = { name: "nccl", title: "the part for several GPUs", files: [ncclSource], sources };
    const built = await buildUnit(torch, compiler, { ...unit, extra: build.args });
    const link = ncclBeside(addon);
    io.rmSync(link);
    io.symlinkSync(built, link);
    return { noNccl: null, watched };
  } catch (error) {
    return { noNccl: messageOf(error), watched };
  }
}

async function compile(job: {
  torch: Torch;
  compiler: Compiler;
  title: string;
  files: readonly string[];
  flags: string[];
  target: string;
}): Promise<void> {
  const { torch, compiler, title, files, flags, target } = job;
  const fresh = `${target}.new-${process.pid}`;
  makeDirectory(dirname(target));
  const [first = "", ...rest] = [...compiler.prefix, ...files, ...flags, "-o", fresh];
  const what = `compiling ${title} for torch ${torch.version} with ${compiler.path}`;
  const { status, output } = await runWithProgress(what, compiler.path, [first, ...rest]);
  if (status === 0) return putInPlace(fresh, target);
  ignoreErrors(() => io.rmSync(fresh));
  throw new TorchError(
    `${title} does not compile against torch ${torch.version} (${torch.folder}) with ${compiler.version}:\n` +
      `${output.trimEnd()}\nA compiler that knows C++20 is needed: g++ 11 or clang++ 14, or newer. Set CXX to choose one.`,
  );
}
