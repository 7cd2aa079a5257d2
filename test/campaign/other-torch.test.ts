/**
 * Other minor versions of torch than the pinned one: the addon compiles, loads and computes what PyTorch, PEFT and TRL do. In full only, for the
 * folders of installed torches that PREFTUNE_TORCHES lists (`pip install --target DIR torch==2.12.*`, then DIR/torch), with colons between.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { buildAddon } from "../../src/setup/addon.ts";
import { findCompiler } from "../../src/setup/compiler.ts";
import { inspectTorch } from "../../src/setup/find-torch.ts";
import { sourcesHash } from "../../src/setup/native-sources.ts";
import { isNightly } from "../support/campaign.ts";

const root = join(import.meta.dirname, "../..");
const folders = (process.env["PREFTUNE_TORCHES"] ?? "").split(delimiter).filter((folder) => folder !== "");

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
  skip: !isNightly ? "in full only" : folders.length === 0 && "PREFTUNE_TORCHES names none",
}, () => {});

for (const folder of isNightly ? folders : []) {
  test(`torch of ${folder}`, async () => {
    const torch = inspectTorch(folder, "PREFTUNE_TORCH");
    assert.ok(typeof torch !== "string", String(torch));
    const addon = await buildAddon(torch, findCompiler(), sourcesHash());
    const env: NodeJS.ProcessEnv = { ...process.env, PREFTUNE_ADDON: addon, PREFTUNE_NIGHTLY: "0" };
    // of the runner that started this file
    delete env["NODE_TEST_CONTEXT"];
    const args = ["--conditions=preftune-source", "--test", "--test-reporter=tap", "--test-concurrency=1"];
    const { status, stdout, stderr } = spawnSync(process.execPath, [...args, ...files], {
      ...{ cwd: root, env, encoding: "utf8", timeout: 1_200_000, maxBuffer: 2 ** 26 },
    });
    const [count = "no tests"] = /^# pass \d+/m.exec(stdout) ?? [];
    console.log(`torch ${torch.version}: ${count.slice(2)}, ${/^# fail \d+/m.exec(stdout)?.[0].slice(2)}`);
    assert.equal(status, 0, `${stdout}\n${stderr}`);
  });
}
