/**
 * Headers that the unit of several GPUs (`native/nccl`) is compiled with. PyTorch's wheels of CUDA bring most of them, beside torch;
 * two small parts they do not depend on, and these are fetched.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { writeDirectoryAtomic } from "../base/files.ts";
import { shellWord } from "../base/shell-word.ts";
import { runWithProgress } from "../terminal/run-with-progress.ts";
import type { Torch } from "./find-torch.ts";
import { nativeFolder } from "./native-sources.ts";
import { findProgram } from "./path-search.ts";
import { stateFolder } from "./places.ts";

/** One header of each part. */
const needed = [
  "cuda_runtime.h",
  "crt/host_config.h",
  "nv/target",
  "nccl.h",
  "cublas_v2.h",
  "cublasLt.h",
  "cusparse.h",
  "cusolverDn.h",
];

/** Its source. */
export const ncclSource: string = join(nativeFolder, "nccl", "nccl-group.cpp");

/** What the unit of several GPUs is compiled with. */
export interface NcclBuild {
  /** Compiler arguments besides those of the addon; none without CUDA or headers. */
  args: string[];
  /** Why several GPUs cannot be used, with the command for that; null where they can, or torch has no CUDA. */
  problem: string | null;
  /** Files and folders whose change can change the outcome. */
  watched: string[];
}

/** The packages of pip with the parts that torch's do not depend on, for a release of CUDA ("13.0"). */
export function headerPackages(cuda: string): string[] {
  const [major] = cuda.split(".");
  const names =
    major === "12"
      ? ["nvidia-cuda-nvcc-cu12", "nvidia-cuda-cccl-cu12"]
      : ["nvidia-cuda-crt", "nvidia-cuda-cccl"];
  return names.map((name) => `${name}==${cuda}.*`);
}

/** Folders of headers among packages of pip in `folder`: of CUDA 13 one for all, of CUDA 12 one a part. */
export function headerFolders(folder: string): string[] {
  const nvidia = join(folder, "nvidia");
  const parts = existsSync(nvidia) ? readdirSync(nvidia).sort() : [];
  return parts
    .flatMap((part) => [join(nvidia, part, "include"), join(nvidia, part, "include", "cccl")])
    .filter((include) => existsSync(include));
}

/** Where a CUDA toolkit says its release. */
function toolkitHeader(): string {
  const home = process.env["CUDA_HOME"] ?? process.env["CUDA_PATH"] ?? "/usr/local/cuda";
  return join(home, "include", "cuda.h");
}

/** Folders of a CUDA toolkit of this release, else none. */
function toolkitFolders(cuda: string): string[] {
  const header = toolkitHeader();
  const include = dirname(header);
  const [major = 0, minor = 0] = cuda.split(".").map(Number);
  const version = existsSync(header)
    ? /^#define\s+CUDA_VERSION\s+(\d+)/m.exec(readFileSync(header, "utf8"))
    : null;
  return Number(version?.[1]) === 1000 * major + 10 * minor ? [include, join(include, "cccl")] : [];
}

function missingFrom(folders: readonly string[]): string[] {
  return needed.filter((name) => !folders.some((folder) => existsSync(join(folder, name))));
}

/** Installs packages with pip into `target`. @returns what pip said when it failed, else null */
export async function fetchHeaders(packages: readonly string[], target: string): Promise<string | null> {
  const python = findProgram("python3");
  if (python === null) return "there is no python3 on the path to fetch them with";
  let said: string | null = null;
  const install = async (fresh: string): Promise<void> => {
    const args = ["-m", "pip", "install", "--no-deps", "--target", fresh, "--progress-bar", "off"];
    const title = `fetching headers of CUDA for several GPUs: ${packages.join(", ")}`;
    const { status, output } = await runWithProgress(title, python, [...args, ...packages]);
    said = status === 0 ? null : (output.trim().split("\n").at(-1) ?? "pip failed");
    if (said !== null) throw new Error(said);
  };
  await writeDirectoryAtomic(target, install, { replace: true, durable: false }).catch((error: unknown) => {
    said ??= String(error);
  });
  return said;
}

/** How the unit of several GPUs is compiled for `torch`; fetches what is missing. */
export async function ncclBuild(torch: Torch, fetch: typeof fetchHeaders = fetchHeaders): Promise<NcclBuild> {
  const { cuda, folder } = torch;
  if (cuda === null || process.platform !== "linux") return { args: [], problem: null, watched: [] };
  const fetched = join(stateFolder(), `cuda-headers-${cuda}`);
  const watched = [fetched, toolkitHeader()];
  const find = () => [...headerFolders(dirname(folder)), ...headerFolders(fetched), ...toolkitFolders(cuda)];
  const packages = headerPackages(cuda);
  const fetchable = ["crt/host_config.h", "nv/target"];
  const before = missingFrom(find());
  const failed =
    before.length > 0 && before.every((name) => fetchable.includes(name))
      ? await fetch(packages, fetched)
      : null;
  const missing = missingFrom(find());
  if (missing.length === 0) {
    const libraries = ["-ltorch_cuda", "-lc10_cuda"];
    const args = ["-DUSE_C10D_NCCL", ...find().flatMap((path) => ["-isystem", path]), ...libraries];
    return { args, problem: null, watched };
  }
  const why = `headers of CUDA ${cuda} are missing: ${missing.join(", ")}${failed === null ? "" : ` (${failed})`}`;
  const cure = missing.every((name) => fetchable.includes(name))
    ? `python3 -m pip install --no-deps --target ${shellWord(fetched)} ${packages.map((name) => `"${name}"`).join(" ")}`
    : `install CUDA's toolkit ${cuda} and NCCL's headers, and set CUDA_HOME`;
  return { args: [], problem: `${why}. To have them: ${cure}`, watched };
}
