/** Libraries that stand before the C library in a process of a test (LD_PRELOAD). */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { findCompiler } from "../../src/setup/compiler.ts";

/** Compiles `source`, a C file of this folder, into the library `to`; why that cannot be, else false. */
export function compileShim(source: string, to: string): string | false {
  if (process.platform !== "linux") return "the shim is for Linux";
  const compiler = findCompiler();
  if (compiler === null) return "there is no compiler for the shim";
  const flags = ["-x", "c", "-shared", "-fPIC", "-O1", join(import.meta.dirname, source), "-o", to, "-ldl"];
  const { status, stderr } = spawnSync(compiler.path, [...compiler.prefix, ...flags], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return false;
}
