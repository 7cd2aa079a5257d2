/**
 * The addon's sources compile with the other compilers that are here: GCC 11 is what Ubuntu 22.04 has, and what it lacks of GCC 12 is
 * written for it apart; GCC for arm64 says that nothing in them is for x86-64 alone, and no more: nothing is linked or run. In full only,
 * a minute each; `apt-get install g++-11 clang g++-aarch64-linux-gnu` brings three.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { compileFlags, nodeHeaderFolders } from "../../src/setup/addon.ts";
import { type Compiler, findCompiler, inspectCompiler } from "../../src/setup/compiler.ts";
import { findTorch } from "../../src/setup/find-torch.ts";
import { nativeFolder, nativeSources } from "../../src/setup/native-sources.ts";
import { isNightly } from "../support/campaign.ts";

const names = [11, 12, 13, 14, 15, 16].flatMap((version) => [`g++-${version}`, `clang++-${version}`]);

/** Without the name that it was called by. */
const release = ({ version }: Compiler): string => version.replace(/^\S+ /, "");

/** Makes objects for another processor. */
const crossName = "aarch64-linux-gnu-g++";

/** Each compiler of `names`, and clang's without a number, that is not the one set-up takes, and the one for arm64. */
function otherCompilers(): Compiler[] {
  const taken = findCompiler();
  const others = new Map<string, Compiler>();
  for (const name of [...names, "clang++"]) {
    const found = inspectCompiler(name);
    if (found !== null) others.set(release(found), found);
  }
  if (taken !== null) others.delete(release(taken));
  const cross = process.arch === "arm64" ? null : inspectCompiler(crossName);
  return cross === null ? [...others.values()] : [...others.values(), cross];
}

/** The flags with which a compiler makes an object: what is for linking, and for this processor where it is not the one's, is left out. */
function objectFlags(compiler: Compiler, flags: readonly string[]): string[] {
  const others = compiler.path.endsWith(crossName) ? /^-(shared|Wl,|l|L|-param=)/ : /^-(shared|Wl,|l|L)/;
  return flags.filter((flag) => !others.test(flag));
}

async function compile(compiler: Compiler, source: string, flags: readonly string[]): Promise<string> {
  const args = [...compiler.prefix, ...objectFlags(compiler, flags)];
  const child = spawn(compiler.path, [...args, "-c", "-o", "/dev/null", join(nativeFolder, source)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const [errors, [status]] = await Promise.all([text(child.stderr), once(child, "close")]);
  return status === 0 ? "" : errors.slice(0, 4000);
}

test("every source of the addon compiles with the other compilers", {
  skip: isNightly ? false : "in full only",
}, async (t) => {
  const [{ torch }, compilers] = [findTorch(), otherCompilers()];
  if (torch === null) return t.skip("no torch");
  if (compilers.length === 0)
    return t.skip("no other compiler: sudo apt-get install g++-11 clang g++-aarch64-linux-gnu");
  for (const compiler of compilers) {
    const flags = compileFlags(torch, nodeHeaderFolders(), compiler);
    for (const source of nativeSources().filter((name) => /^[^/]*\.cpp$/.test(name)))
      await t.test(`${compiler.version}: ${source}`, async () =>
        assert.equal(await compile(compiler, source, flags), ""),
      );
  }
});
