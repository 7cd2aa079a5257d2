/**
 * Finds an installed torch without importing it: PREFTUNE_TORCH (a folder, or a Python that has one), the torch of the
 * `python3` on the path, or the project's own. A folder counts when it has the libraries and the headers the addon is compiled against.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { findProgram } from "./path-search.ts";
import { stateFolder } from "./places.ts";
import { isAtLeast, oldestTorch, parseBuildVersion, parseVersionFile, type TorchVersion } from "./version.ts";

/** Which of the three places a torch was found in. */
export type TorchSource = "PREFTUNE_TORCH" | "python3" | "project";

/** A torch to compile and link against. `folder` has `lib/` and `include/`. */
export interface Torch extends TorchVersion {
  folder: string;
  source: TorchSource;
}

/** A search's outcome. */
export interface TorchSearch {
  torch: Torch | null;
  /** Why a torch that is there was not taken, one sentence each. */
  refused: string[];
  /** Files and folders whose change can change the outcome. */
  watched: string[];
}

/** File name of a shared library on this system. */
export function libraryName(name: string): string {
  return process.platform === "darwin" ? `lib${name}.dylib` : `lib${name}.so`;
}

/** The project's own environment, filled by `install-torch.ts`. */
export function projectTorchFolder(): string {
  return join(stateFolder(), "torch");
}

function readVersion(folder: string): TorchVersion | null {
  const python = join(folder, "version.py");
  if (existsSync(python)) return parseVersionFile(readFileSync(python, "utf8"));
  const zip = join(folder, "build-version");
  return existsSync(zip) ? parseBuildVersion(readFileSync(zip, "utf8")) : null;
}

/**
 * The torch in `folder`, or a sentence that says why it cannot be used.
 *
 * @param folder - a Python package `torch`, or an unzipped libtorch
 */
export function inspectTorch(folder: string, source: TorchSource): Torch | string {
  const version = readVersion(folder);
  if (version === null) return `${folder} is not a torch: it has neither version.py nor build-version`;
  if (!isAtLeast(version.version, oldestTorch)) {
    return `torch ${version.version} in ${folder} is too old: ${oldestTorch} or newer is needed`;
  }
  const needed = [join("lib", libraryName("torch_cpu")), join("include", "torch", "csrc", "api", "include")];
  const missing = needed.filter((path) => !existsSync(join(folder, path)));
  if (missing.length > 0) return `torch ${version.version} in ${folder} has no ${missing.join(" and no ")}`;
  return { ...version, folder, source };
}

const probe = `import importlib.util, json, os, site, sys
spec = importlib.util.find_spec("torch")
folders = list(dict.fromkeys(p for p in sys.path + [site.getusersitepackages()] if "-packages" in p))
print(json.dumps({"torch": os.path.dirname(spec.origin) if spec and spec.origin else None, "folders": folders}))`;

/** What a Python says about its torch: the package's folder, and the folders where one could be installed. */
export interface PythonAnswer {
  torch: string | null;
  folders: string[];
}

/** Asks `python` where its torch is, without importing it; null when the Python does not run. */
export function askPython(python: string): PythonAnswer | null {
  // not in the current folder: a folder called "torch" there would be taken for the package
  const result = spawnSync(python, ["-c", probe], { cwd: tmpdir(), encoding: "utf8", timeout: 60_000 });
  if (result.status !== 0) return null;
  try {
    return JSON.parse(result.stdout) as PythonAnswer;
  } catch {
    return null; // another program, which takes any words
  }
}

/** What PREFTUNE_TORCH means: the folder of its torch, or why there is none; `watched` besides that folder. */
interface Meant {
  folder: string | null;
  why: string;
  watched: string[];
}

function meantBy(variable: string): Meant {
  const given = resolve(variable);
  const python = findProgram(existsSync(given) ? given : variable);
  if (python !== null) {
    const answer = askPython(python);
    const why = answer === null ? `${python} is not a Python that runs` : `${python} has no torch`;
    return {
      folder: answer?.torch ?? null,
      why,
      watched: [realpathSync(python), ...(answer?.folders ?? [])],
    };
  }
  const nested = join(given, "torch");
  const folder = !existsSync(join(given, "lib")) && existsSync(join(nested, "lib")) ? nested : given;
  return { folder, why: "", watched: [] };
}

function fromVariable(variable: string): TorchSearch {
  const { folder, why, watched } = meantBy(variable);
  const found = folder === null ? why : inspectTorch(folder, "PREFTUNE_TORCH");
  if (typeof found !== "string") return { torch: found, refused: [], watched: [...watched, found.folder] };
  throw new ConfigError(
    `PREFTUNE_TORCH=${variable}: ${found}. Point it at a Python that has torch, at the folder of an installed Python package ` +
      '"torch" or at that of an unzipped libtorch, or unset it.',
  );
}

/**
 * Looks for torch in the three places, in their order.
 *
 * @throws {ConfigError} when PREFTUNE_TORCH is set and is not a usable torch
 */
export function findTorch(): TorchSearch {
  const variable = process.env["PREFTUNE_TORCH"] ?? "";
  if (variable !== "") return fromVariable(variable);
  const refused: string[] = [];
  const watched: string[] = [];
  const python = findProgram("python3");
  const answer = python === null ? null : askPython(python);
  if (python !== null) watched.push(realpathSync(python), ...(answer?.folders ?? []));
  if (answer?.torch != null) {
    const found = inspectTorch(answer.torch, "python3");
    if (typeof found !== "string") return { torch: found, refused, watched: [...watched, found.folder] };
    refused.push(found);
  }
  const own = join(projectTorchFolder(), "torch");
  if (!existsSync(own)) return { torch: null, refused, watched };
  const found = inspectTorch(own, "project");
  if (typeof found === "string") refused.push(found);
  return { torch: typeof found === "string" ? null : found, refused, watched: [...watched, own] };
}
