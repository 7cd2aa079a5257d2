/**
 * The unit of several GPUs compiles, here against a torch without CUDA: its wheel has c10d's headers of CUDA too, NVIDIA's small
 * packages have those of CUDA, and names stand in for NCCL and the large libraries. Nothing of it is run.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { findCompiler } from "../../src/setup/compiler.ts";
import { findTorch } from "../../src/setup/find-torch.ts";
import { nativeFolder } from "../../src/setup/native-sources.ts";
import { cudaHeaders, standIns } from "../support/cuda-headers.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

test("native/nccl compiles, and names nothing of CUDA or NCCL but c10d's group", async (t) => {
  if (process.platform !== "linux") return t.skip("several GPUs are for Linux");
  const [{ torch }, compiler] = [findTorch(), findCompiler()];
  if (torch === null || compiler === null) return t.skip("no torch or no compiler");
  const { folders, reason } = await cudaHeaders();
  if (reason !== null) return t.skip(reason);
  const include = join(torch.folder, "include");
  const system = [include, join(include, "torch", "csrc", "api", "include"), standIns, ...folders];
  using directory = temporaryDirectory();
  const object = join(directory.path, "nccl.o");
  const source = join(nativeFolder, "nccl", "nccl-group.cpp");
  const flags = ["-std=c++20", "-O0", "-c", "-Wall", "-Werror", "-DUSE_C10D_NCCL"];
  const args = [...flags, ...system.flatMap((path) => ["-isystem", path]), source, "-o", object];
  const made = spawnSync(compiler.path, [...compiler.prefix, ...args], { encoding: "utf8" });
  assert.equal(made.status, 0, made.stderr);
  const names = spawnSync("nm", ["-uC", object], { encoding: "utf8" }).stdout.split("\n");
  const ofCuda = names.filter((name) => /nccl|cuda|cublas|cusparse|cusolver/i.test(name));
  assert.ok(ofCuda.length > 0);
  for (const name of ofCuda) assert.match(name, /^ +U c10d::ProcessGroupNCCL::/);
  const given = spawnSync("nm", ["--defined-only", object], { encoding: "utf8" }).stdout;
  assert.match(given, / T preftune_join_nccl$/m, "what the addon looks for");
});
