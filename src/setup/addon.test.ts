import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type AddonInputs, addonKey, compileFlags } from "./addon.ts";
import type { Torch } from "./find-torch.ts";
import { sourcesHash } from "./native-sources.ts";

const inputs: AddonInputs = {
  torchVersion: "2.13.0+cpu",
  torchFolder: "/opt/torch",
  sources: "abc",
  compiler: "g++ 12",
  platform: "linux-x64",
  flags: ["-O2"],
};

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "preftune-addon-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("the key changes with every input, and with nothing else", () => {
  const changes: Partial<AddonInputs>[] = [
    { torchVersion: "2.12.0" },
    { torchFolder: "/usr/torch" },
    { sources: "abd" },
    { compiler: "g++ 13" },
    { platform: "linux-arm64" },
    { flags: ["-O3"] },
  ];
  const keys = changes.map((change) => addonKey({ ...inputs, ...change }));
  assert.equal(new Set([addonKey(inputs), ...keys]).size, changes.length + 1);
  assert.equal(addonKey({ ...inputs }), addonKey(inputs));
  assert.match(addonKey(inputs), /^[0-9a-f]{16}$/);
});

test("the sources' hash sees contents and names of C++ files only", (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, "a.cpp"), "int a;");
  const first = sourcesHash(folder);
  writeFileSync(join(folder, "notes.md"), "not compiled");
  assert.equal(sourcesHash(folder), first);
  writeFileSync(join(folder, "a.h"), "int b;");
  const second = sourcesHash(folder);
  assert.notEqual(second, first);
  writeFileSync(join(folder, "a.h"), "int c;");
  assert.notEqual(sourcesHash(folder), second);
});

const gcc = { version: "g++ (Debian 12.2.0) 12.2.0" };

test("GCC's threads are torch's; another compiler's would be a second kind", {
  skip: process.platform !== "linux",
}, (t) => {
  const torch: Torch = { version: "2.13.0", cuda: null, folder: temporaryFolder(t), source: "python3" };
  assert.ok(compileFlags(torch, [], gcc).includes("-fopenmp"));
  assert.ok(!compileFlags(torch, [], { version: "Debian clang version 14.0.6" }).includes("-fopenmp"));
});

test("an addon for a torch with CUDA is the one for a torch without", (t) => {
  const folder = temporaryFolder(t);
  const torch: Torch = { version: "2.13.0", cuda: null, folder, source: "python3" };
  const flags = compileFlags(torch, ["/headers"], gcc);
  assert.deepEqual(
    compileFlags({ ...torch, version: "2.13.0+cu130", cuda: "13.0" }, ["/headers"], gcc),
    flags,
  );
  assert.ok(!flags.some((flag) => /cuda/.test(flag.replaceAll(folder, ""))));
  assert.ok(flags.includes(`-Wl,-rpath,${join(folder, "lib")}`));
  assert.ok(compileFlags(torch, [], gcc, "$ORIGIN/torch").includes("-Wl,-rpath,$ORIGIN/torch"));
  assert.equal(flags[flags.indexOf("/headers") - 1], "-isystem");
});
