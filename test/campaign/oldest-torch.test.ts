/**
 * The units of several ranks compile against the headers of the oldest torch that is supported. In full only: they are fetched, in a
 * wheel of macOS, the smallest that has them.
 */
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findCompiler } from "../../src/setup/compiler.ts";
import { nativeFolder } from "../../src/setup/native-sources.ts";
import { stateFolder } from "../../src/setup/places.ts";
import { oldestTorch } from "../../src/setup/version.ts";
import { isNightly } from "../support/campaign.ts";
import { cudaHeaders, standIns } from "../support/cuda-headers.ts";

const skip = isNightly
  ? process.platform === "linux"
    ? false
    : "several ranks are for Linux"
  : "in full only";

/** Fetches the headers once into the checkout's folder. */
function torchHeaders(): string {
  const folder = join(stateFolder(), `test-torch-${oldestTorch}`);
  if (existsSync(folder)) return join(folder, "torch", "include");
  const fresh = `${folder}.new`;
  const wanted = ["--python-version", "3.11", "--platform", "macosx_11_0_arm64", "--only-binary=:all:"];
  const fetched = spawnSync(
    "python3",
    ["-m", "pip", "download", "--no-deps", "--dest", fresh, ...wanted, `torch==${oldestTorch}.*`],
    { encoding: "utf8" },
  );
  assert.equal(fetched.status, 0, fetched.stderr);
  const unpack = `import glob, os, sys, zipfile
path = glob.glob(sys.argv[1] + "/*.whl")[0]
wheel = zipfile.ZipFile(path)
wheel.extractall(sys.argv[1], [name for name in wheel.namelist() if "/include/" in name])
os.remove(path)`;
  const unpacked = spawnSync("python3", ["-c", unpack, fresh], { encoding: "utf8" });
  assert.equal(unpacked.status, 0, unpacked.stderr);
  renameSync(fresh, folder);
  return join(folder, "torch", "include");
}

test(`Gloo's and NCCL's units compile against the headers of torch ${oldestTorch}`, { skip }, async (t) => {
  const compiler = findCompiler();
  if (compiler === null) return t.skip("no compiler");
  const include = torchHeaders();
  const { folders, reason } = await cudaHeaders();
  if (reason !== null) return t.skip(reason);
  const api = join(include, "torch", "csrc", "api", "include");
  const units: [string, string[], string[]][] = [
    ["process-group.cpp", [join(nativeFolder, "gloo-names")], []],
    ["nccl/nccl-group.cpp", [standIns, ...folders], ["-DUSE_C10D_NCCL"]],
  ];
  for (const [source, more, flags] of units) {
    const system = [include, api, ...more].flatMap((path) => ["-isystem", path]);
    const args = [...compiler.prefix, "-std=c++20", "-fsyntax-only", "-Wall", "-Werror", ...flags, ...system];
    const made: SpawnSyncReturns<string> = spawnSync(compiler.path, [...args, join(nativeFolder, source)], {
      encoding: "utf8",
    });
    assert.equal(made.status, 0, made.stderr);
  }
});
