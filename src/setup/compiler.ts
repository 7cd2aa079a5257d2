/** Finds the system's C++ compiler and says how to install one. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { ConfigError } from "../base/errors.ts";
import { findProgram } from "./path-search.ts";

/** A C++ compiler. `prefix` are arguments that stand before all others (`CXX="ccache g++"`). */
export interface Compiler {
  path: string;
  prefix: string[];
  /** First line of `--version`. */
  version: string;
}

/** Whether it is clang, under any name: no kernels for wider instruction sets and none of torch's threads come of it. */
export function isClang({ version }: Pick<Compiler, "version">): boolean {
  return version.includes("clang");
}

/** The compiler that `command` starts, a name on the path and arguments; null when it does not run. */
export function inspectCompiler(command: string): Compiler | null {
  const [name = "", ...prefix] = command.split(/\s+/).filter(Boolean);
  const path = findProgram(name);
  if (path === null) return null;
  const result = spawnSync(path, [...prefix, "--version"], { encoding: "utf8", timeout: 60_000 });
  // on macOS the compilers of a system without developer tools are there but fail
  if (result.status !== 0) return null;
  return { path, prefix, version: result.stdout.split("\n", 1)[0] ?? "" };
}

/**
 * The compiler: CXX when set, else the first of c++, g++, clang++ that runs, on Linux rather a GCC that is new enough for the addon
 * than a clang, and a clang than an older GCC; null when there is none.
 *
 * @throws {ConfigError} when CXX is set and does not run
 */
export function findCompiler(): Compiler | null {
  const variable = process.env["CXX"]?.trim() ?? "";
  if (variable !== "") {
    const found = inspectCompiler(variable);
    if (found !== null) return found;
    throw new ConfigError(
      `CXX=${variable} does not run. Set it to a C++ compiler, or unset it to use the system's.`,
    );
  }
  const found = ["c++", "g++", "clang++"].flatMap((name) => inspectCompiler(name) ?? []);
  const preferred = process.platform === "linux" ? (found.find(isNewGcc) ?? found.find(isClang)) : undefined;
  return preferred ?? found[0] ?? null;
}

/** The oldest GCC that compiles the addon. */
const leastGcc = 11;

/** Whether it is no clang, and new enough as far as its version line says: `g++ (Debian 12.2.0-14) 12.2.0`. */
function isNewGcc(compiler: Compiler): boolean {
  const [, major] = /\s(\d+)\./.exec(compiler.version.replace(/\([^)]*\)/g, "")) ?? [];
  return !isClang(compiler) && (major === undefined || Number(major) >= leastGcc);
}

/** The command that installs a C++ compiler on this system. */
export function compilerInstallCommand(): string {
  if (process.platform === "darwin") return "xcode-select --install";
  if (existsSync("/etc/debian_version")) return "sudo apt-get install g++";
  if (existsSync("/etc/fedora-release") || existsSync("/etc/redhat-release"))
    return "sudo dnf install gcc-c++";
  return "sudo apt-get install g++   (Debian, Ubuntu) or   sudo dnf install gcc-c++   (Fedora)";
}
