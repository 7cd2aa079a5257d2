import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { headerPackages, ncclBuild } from "./cuda-headers.ts";
import type { Torch } from "./find-torch.ts";

const isLinux = process.platform === "linux";
const beside = ["cuda_runtime.h", "nccl.h", "cublas_v2.h", "cublasLt.h", "cusparse.h", "cusolverDn.h"];

/** A torch for CUDA 99, of which no toolkit is installed, with these headers beside it. */
function torchWith(t: TestContext, headers: readonly string[]): Torch {
  const site = mkdtempSync(join(tmpdir(), "preftune-cuda-"));
  t.after(() => rmSync(site, { recursive: true }));
  for (const header of headers) {
    const path = join(site, "nvidia", "cu99", "include", header);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "");
  }
  return { version: "2.13.0", cuda: "99.0", folder: join(site, "torch"), source: "python3" };
}

test("a torch without CUDA needs nothing and fetches nothing", async (t) => {
  const torch = { ...torchWith(t, []), cuda: null };
  const fetch = () => assert.fail("fetched");
  assert.deepEqual(await ncclBuild(torch, fetch), { args: [], problem: null, watched: [] });
});

test("headers beside torch: the unit of NCCL is compiled with their folder", {
  skip: !isLinux,
}, async (t) => {
  const torch = torchWith(t, [...beside, "crt/host_config.h", "nv/target"]);
  const { args, problem } = await ncclBuild(torch, () => assert.fail("fetched"));
  assert.equal(problem, null);
  assert.ok(args.includes("-ltorch_cuda"));
  assert.equal(args[args.indexOf("-isystem") + 1], join(dirname(torch.folder), "nvidia/cu99/include"));
});

test("the two parts that torch does not depend on are fetched; a failure is said with the command", {
  skip: !isLinux,
}, async (t) => {
  const fetched: string[] = [];
  const { args, problem } = await ncclBuild(torchWith(t, beside), (packages) => {
    fetched.push(...packages);
    return Promise.resolve("no network");
  });
  assert.deepEqual(fetched, ["nvidia-cuda-crt==99.0.*", "nvidia-cuda-cccl==99.0.*"]);
  assert.deepEqual(args, []);
  const said =
    /^headers of CUDA 99\.0 are missing: crt\/host_config\.h, nv\/target \(no network\)\. To have them: python3 -m pip install --no-deps --target \S+ "nvidia-cuda-crt==99\.0\.\*" "nvidia-cuda-cccl==99\.0\.\*"$/;
  assert.match(problem ?? "", said);
});

test("what pip cannot bring is asked for: NCCL's header of a torch that is no wheel", {
  skip: !isLinux,
}, async (t) => {
  const { problem } = await ncclBuild(torchWith(t, []), () => assert.fail("fetched"));
  assert.match(
    problem ?? "",
    /missing: cuda_runtime\.h, .*nccl\.h, .*install CUDA's toolkit 99\.0 .*CUDA_HOME$/,
  );
});

test("CUDA 12 has these parts in other packages", () => {
  assert.deepEqual(headerPackages("12.8"), [
    "nvidia-cuda-nvcc-cu12==12.8.*",
    "nvidia-cuda-cccl-cu12==12.8.*",
  ]);
});
