/**
 * The tarballs of the package and of its prebuilt addons where there is no compiler and an older glibc: Debian 11, with nothing but Node and
 * torch: the pinned one, and those in the folders of other minor versions that PREFTUNE_TORCHES lists (other-torch.test.ts). In full only;
 * skipped where the tools are missing.
 */
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, suite, test } from "node:test";
import { newestSymbols } from "../../scripts/symbol-versions.ts";
import type { DoctorReport } from "../../src/setup/doctor.ts";
import { findTorch } from "../../src/setup/find-torch.ts";
import { findProgram } from "../../src/setup/path-search.ts";
import { isNightly } from "../support/campaign.ts";
import { runProgram } from "../support/long-program.ts";
import { otherTorches as others, prebuiltPackageFor } from "../support/prebuilt-addons.ts";

const root = join(import.meta.dirname, "../..");

/** What keeps it from being run here; null: nothing. */
function missing(): string | null {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux, for mounts";
  const tools = ["mmdebstrap", "unshare", "chroot", "ip", "g++"].filter((name) => findProgram(name) === null);
  return tools.length === 0 ? null : `missing: ${tools.join(", ")}`;
}

const reason = isNightly ? missing() : "in full only";
const skip = reason ?? false;

const folder = mkdtempSync(join(tmpdir(), "preftune-prebuilt-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const system = join(folder, "root");

/** Packs the package of a folder; where the tarball is. */
function packed(from: string, ...options: string[]): string {
  const said = runProgram(from, "npm", "pack", "--json", "--pack-destination", folder, ...options);
  const [{ filename }] = JSON.parse(said.slice(said.indexOf("["))) as [{ filename: string }];
  return join(folder, filename);
}

const pinned = (): string => findTorch().torch?.folder ?? assert.fail("no torch");

/** Runs a program of Debian 11, with its own mounts, processes and network, and the torch in `torch`. */
function inSystem(torch: string, ...words: string[]): string {
  // pip puts what a torch for CUDA needs beside it
  const libraries = join(dirname(torch), "nvidia");
  const script = [
    "set -e",
    `mount --bind ${torch} ${system}/opt/torch`,
    ...(existsSync(libraries) ? [`mount --bind ${libraries} ${system}/opt/nvidia`] : []),
    `mount --bind /dev ${system}/dev`,
    `mount -t proc proc ${system}/proc`,
    "ip link set lo up",
    `exec chroot ${system} /usr/bin/env -i -C /runs "$@"`,
  ];
  const spaces = ["--mount", "--pid", "--fork", "--net", "--kill-child"];
  const variables = {
    PATH: "/usr/local/bin",
    HOME: "/runs",
    PREFTUNE_TORCH: "/opt/torch",
    OMP_NUM_THREADS: "1",
  };
  const given = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  return runProgram(root, "unshare", ...spaces, "sh", "-c", script.join("\n"), "sh", ...given, ...words);
}

suite("without a compiler, on Debian 11", () => {
  let addons = "";

  before(() => {
    if (skip !== false) return;
    addons = prebuiltPackageFor(pinned(), ...others);
    runProgram(root, "mmdebstrap", "--variant=minbase", "bullseye", system);
    const own = packed(root, "--ignore-scripts=false");
    // in the place of an image's addon, which is not what is tested: any file
    const noAddon = join(addons, "LICENSE");
    runProgram(root, "sh", "container/assemble.sh", system, process.execPath, own, pinned(), noAddon);
    const app = join(system, "opt/preftune");
    const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save"];
    runProgram(root, "npm", "install", "--prefix", app, ...options, own, packed(addons));
    rmSync(join(system, "opt/torch"), { recursive: true });
    for (const name of ["torch", "nvidia"]) mkdirSync(join(system, "opt", name));
    cpSync(join(root, "test/support/in-container.mjs"), join(system, "runs/in-container.mjs"));
  });

  test("the addon asks for nothing newer than glibc 2.28 and GCC 8 have", { skip }, () => {
    const { addons: files } = JSON.parse(readFileSync(join(addons, "prebuilt.json"), "utf8"));
    const newest = Object.values(files as Record<string, string>).map((name) =>
      newestSymbols(join(addons, name)),
    );
    assert.equal(newest.length, 1 + others.length);
    console.log(newest);
  });

  const use = (torch: string): void => {
    for (const name of readdirSync(join(system, "runs")))
      if (name !== "in-container.mjs") rmSync(join(system, "runs", name), { recursive: true });
    assert.match(inSystem(torch, "preftune", "setup"), /^Ready\.$/m);
    const report = JSON.parse(inSystem(torch, "preftune", "doctor", "--json")) as DoctorReport;
    console.log(`torch ${report.torch?.version}`);
    assert.deepEqual([report.ready, report.addon.prebuilt, report.compiler], [true, true, null]);
    const said = inSystem(torch, "node", "/runs/in-container.mjs");
    const found = JSON.parse(/^FINDINGS (.*)$/m.exec(said)?.[1] ?? "null");
    assert.equal(found.quickstart.status, 0, found.quickstart.text);
    assert.deepEqual(found.serve, { health: 200, withoutKey: 401, wrongKey: 401, answer: 200 });
  };

  const what = "the prebuilt addon is taken and doctor says so; the quick start trains, the server answers";
  test(what, { skip }, () => use(pinned()));

  for (const torch of others) test(`the same with the torch in ${torch}`, { skip }, () => use(torch));
});
