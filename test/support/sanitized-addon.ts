/** The addon built with AddressSanitizer and UndefinedBehaviorSanitizer, and programs that run with it. */
import { spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, dirname, isAbsolute, join } from "node:path";
import { buildAddon } from "../../src/setup/addon.ts";
import { type Compiler, findCompiler } from "../../src/setup/compiler.ts";
import { findTorch, type Torch } from "../../src/setup/find-torch.ts";
import { sourcesHash } from "../../src/setup/native-sources.ts";

const root = join(import.meta.dirname, "../..");

/** `vptr` would need type information that torch's libraries keep to themselves. */
const flags = [
  ...["-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize=vptr", "-D_GLIBCXX_ASSERTIONS"],
  ...["-fno-omit-frame-pointer", "-O1", "-g1"],
  // checks in line would double the time the compiler takes
  "--param=asan-instrumentation-with-call-threshold=0",
];

/** What the sanitized addon is built with. */
export interface Sanitizers {
  compiler: Compiler;
  torch: Torch;
  /** Libraries to be loaded before all others: node contains a C++ library. */
  preload: string[];
}

/** The compiler with its sanitizers, or why there is none. */
export function findSanitizers(): Sanitizers | string {
  if (process.platform !== "linux") return "the sanitizers are run on Linux only";
  const compiler = findCompiler();
  if (compiler === null) return "no C++ compiler is on the path";
  if (compiler.version.includes("clang")) return `g++ is needed, found ${compiler.version}`;
  const { torch } = findTorch();
  if (torch === null) return "no torch was found";
  const preload = ["libasan.so", "libubsan.so", "libstdc++.so.6"].map((name) => libraryOf(compiler, name));
  const missing = preload.find((path) => !isAbsolute(path));
  return missing === undefined ? { compiler, torch, preload } : `${compiler.version} has no ${missing}`;
}

/** The path of a compiler's library; its name alone where there is none. */
function libraryOf({ path, prefix }: Compiler, name: string): string {
  return spawnSync(path, [...prefix, `-print-file-name=${name}`], { encoding: "utf8" }).stdout.trim();
}

/** Compiles the addon where that has not been done (minutes), into a separate folder. Gives its path. */
export function buildSanitized({ torch, compiler }: Sanitizers): Promise<string> {
  return buildAddon(torch, compiler, sourcesHash(), flags);
}

/** Source of the library whose loading is a fault, from the root. */
export const CANARY = "test/support/sanitizer-canary.cpp";

/** Compiles the library whose loading is a fault, into `dir`. Gives its path. */
export function buildCanary({ compiler: { path, prefix } }: Sanitizers, dir: string): string {
  const source = join(root, CANARY);
  const target = join(dir, "canary.node");
  const args = [...prefix, "-std=c++20", "-fPIC", "-shared", ...flags, source, "-o", target];
  const { status, stderr } = spawnSync(path, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`the canary does not compile: ${stderr}`);
  return target;
}

/** How a program with sanitizers ended. */
export interface SanitizedRun {
  /** Null when it was ended by a signal. */
  status: number | null;
  /** What it wrote, both streams. */
  output: string;
  /** What the sanitizers reported, of it and of the processes that it started. */
  reports: string[];
}

/**
 * Runs a program of the checkout with the addon and the sanitizers' libraries.
 *
 * @param reports - path that the names of the files with reports begin with
 */
export function runSanitized(
  { preload }: Sanitizers,
  args: readonly string[],
  { reports, env }: { reports: string; env: Record<string, string> },
): Promise<SanitizedRun> {
  const common = "abort_on_error=1:halt_on_error=1";
  const child = spawn(process.execPath, ["--conditions=preftune-source", ...args], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      // a test file in it is one that is run by itself
      NODE_TEST_CONTEXT: undefined,
      // in full once is enough
      PREFTUNE_NIGHTLY: undefined,
      PREFTUNE_FIGURES: undefined,
      ...env,
      LD_PRELOAD: preload.join(" "),
      // node and torch keep what they have to the end, and their libraries do not annotate their containers
      ASAN_OPTIONS: `${common}:log_path=${reports}:detect_stack_use_after_return=1:detect_leaks=0:detect_container_overflow=0:alloc_dealloc_mismatch=0:strict_init_order=0`,
      UBSAN_OPTIONS: `${common}:print_stacktrace=1`,
    },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) =>
      resolve({ status, output, reports: [...takeReports(reports), ...printedReports(output)] }),
    );
  });
}

/** Reads the files whose names begin with `prefix`, and removes them. */
function takeReports(prefix: string): string[] {
  const dir = dirname(prefix);
  const files = readdirSync(dir).filter((name) => name.startsWith(`${basename(prefix)}.`));
  return files.map((name) => {
    const text = readFileSync(join(dir, name), "utf8");
    rmSync(join(dir, name));
    return text;
  });
}

/** What is printed on standard error: the sanitizer of undefined behaviour minds no `log_path` beside that of addresses. */
function printedReports(output: string): string[] {
  return [...output.matchAll(/^.*: runtime error: .*(\n +#.*)*|^.*: Assertion '.*' failed\.$/gm)].map(
    ([text]) => text,
  );
}
