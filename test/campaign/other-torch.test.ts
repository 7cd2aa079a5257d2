/**
 * Other torches than the pinned one: the addon compiles, loads and computes what PyTorch, PEFT and TRL do; for a torch of the pinned minor
 * version with CUDA it is the prebuilt addon, compiled for the one without. In full only, for the folders of installed torches that
 * PREFTUNE_TORCHES lists (`pip install --target DIR torch==2.12.*`, then DIR/torch), with colons between.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { addNccl, buildAddon } from "../../src/setup/addon.ts";
import { findCompiler } from "../../src/setup/compiler.ts";
import { findTorch, inspectTorch, type Torch } from "../../src/setup/find-torch.ts";
import { sourcesHash } from "../../src/setup/native-sources.ts";
import { minorVersion, prebuiltAddon } from "../../src/setup/prebuilt.ts";
import { isNightly } from "../support/campaign.ts";
import { otherTorches, prebuiltPackageFor } from "../support/prebuilt-addons.ts";

const root = join(import.meta.dirname, "../..");

/** What an addon has to pass: operators, kernels, losses, whole steps, a training that is resumed. */
const files = [
  "src/torch/torch.test.ts",
  "src/torch/overloads.test.ts",
  "src/torch/matmul.test.ts",
  "src/torch/probe-child.ts",
  "test/parity/fixtures.test.ts",
  "test/parity/training-steps.test.ts",
  "test/parity/trl-losses.test.ts",
  "test/parity/quantised-steps.test.ts",
  "test/invariants/resume.test.ts",
];

test("folders of other torches are given", {
  skip: !isNightly ? "in full only" : otherTorches.length === 0 && "PREFTUNE_TORCHES names none",
}, () => {});

/** The prebuilt addon of the torch without CUDA for one with it, of the same minor version; else one that is compiled for the torch. */
async function addonFor(torch: Torch): Promise<string> {
  const own = findTorch().torch;
  const isTwin =
    torch.cuda !== null && own?.cuda === null && minorVersion(own.version) === minorVersion(torch.version);
  if (!isTwin) return await buildAddon(torch, findCompiler(), sourcesHash());
  const { addon, refused } = await prebuiltAddon(
    torch,
    sourcesHash(),
    join(prebuiltPackageFor(own.folder), "prebuilt.json"),
  );
  return addon ?? assert.fail(String(refused));
}

/** Whether an addon has torch's CUDA kernels in its process, and its own part for several GPUs. */
const loadedParts = `import { readFileSync } from "node:fs";
import { loadNccl } from "./src/torch/index.ts";
const nccl = loadNccl();
const kernels = readFileSync("/proc/self/maps", "utf8").includes("/libtorch_cuda.so");
console.log(JSON.stringify({ kernels, nccl }));`;

for (const folder of isNightly ? otherTorches : []) {
  test(`torch of ${folder}`, async () => {
    const torch = inspectTorch(folder, "PREFTUNE_TORCH");
    assert.ok(typeof torch !== "string", String(torch));
    const addon = await addonFor(torch);
    const { noNccl } = await addNccl(addon, torch, findCompiler(), sourcesHash());
    assert.equal(noNccl, null);
    const env: NodeJS.ProcessEnv = { ...process.env, PREFTUNE_ADDON: addon, PREFTUNE_NIGHTLY: "0" };
    // of the runner that started this file
    delete env["NODE_TEST_CONTEXT"];
    const source = "--conditions=preftune-source";
    const options = { cwd: root, env, encoding: "utf8", timeout: 1_200_000, maxBuffer: 2 ** 26 } as const;
    const hasCuda = torch.cuda !== null;
    const parts = spawnSync(process.execPath, [source, "--input-type=module", "-e", loadedParts], options);
    assert.equal(parts.status, 0, parts.stderr);
    assert.deepEqual(JSON.parse(parts.stdout), { kernels: hasCuda, nccl: hasCuda });
    const args = [source, "--test", "--test-reporter=tap", "--test-concurrency=1"];
    const { status, stdout, stderr } = spawnSync(process.execPath, [...args, ...files], options);
    const [count = "no tests"] = /^# pass \d+/m.exec(stdout) ?? [];
    const kind = addon.includes("prebuilt-") ? "prebuilt" : "compiled";
    console.log(
      `torch ${torch.version}, ${kind} addon: ${count.slice(2)}, ${/^# fail \d+/m.exec(stdout)?.[0].slice(2)}`,
    );
    assert.equal(status, 0, `${stdout}\n${stderr}`);
  });
}
