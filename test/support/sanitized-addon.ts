/** The addon built with AddressSanitizer and UndefinedBehaviorSanitizer, and how a program runs with it. */
import { spawnSync } from "node:child_process";
import { isAbsolute } from "node:path";
import { buildAddon } from "../../src/setup/addon.ts";
import { type Compiler, findCompiler } from "../../src/setup/compiler.ts";
import { sourcesHash } from "../../src/setup/native-sources.ts";
import { findTorch } from "../../src/setup/torch.ts";

/** `vptr` would need type information that torch's libraries keep to themselves. */
const flags = [
  ...["-fsanitize=address,undefined", "-fno-sanitize=vptr", "-fno-omit-frame-pointer", "-O1", "-g1"],
  // the unit is large: checks in line would double the time it takes
  "--param=asan-instrumentation-with-call-threshold=0",
];

/** A build that is there, or why it cannot be. */
export type SanitizedAddon = { env: Record<string, string> } | { missing: string };

/** Compiles the addon where that has not been done: some minutes. */
export async function sanitizedAddon(): Promise<SanitizedAddon> {
  if (process.platform !== "linux") return { missing: "only tried on Linux" };
  const compiler = findCompiler();
  const { torch } = findTorch();
  if (compiler === null || torch === null) return { missing: "no compiler or no torch" };
  const libraries = ["libasan.so", "libubsan.so", "libstdc++.so.6"].map((name) => libraryOf(compiler, name));
  const missing = libraries.find((path) => !isAbsolute(path));
  if (missing !== undefined) return { missing: `${compiler.version} has no ${missing}` };
  const addon = await buildAddon(torch, compiler, sourcesHash(), flags);
  return {
    env: {
      PREFTUNE_ADDON: addon,
      // before all else: node has a C++ library of its own in it
      LD_PRELOAD: libraries.join(" "),
      // node and torch keep what they have to the end: what leaks is counted as live tensors elsewhere
      ASAN_OPTIONS:
        "detect_leaks=0:halt_on_error=1:detect_container_overflow=0:alloc_dealloc_mismatch=0:strict_init_order=0",
      UBSAN_OPTIONS: "print_stacktrace=1:halt_on_error=1",
    },
  };
}

/** The path of a compiler's library; its name alone where there is none. */
function libraryOf({ path, prefix }: Compiler, name: string): string {
  return spawnSync(path, [...prefix, `-print-file-name=${name}`], { encoding: "utf8" }).stdout.trim();
}
