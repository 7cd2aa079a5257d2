import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { ConfigError } from "../base/errors.ts";
import { askPython, findTorch, inspectTorch, libraryName } from "./find-torch.ts";
import { findProgram } from "./path-search.ts";

/** A folder that looks like torch to the search; `files` replace or (null) remove the usual ones. */
function fakeTorch(t: TestContext, files: Record<string, string | null> = {}): string {
  const folder = join(mkdtempSync(join(tmpdir(), "preftune-torch-")), "torch");
  t.after(() => rmSync(dirname(folder), { recursive: true }));
  const all: Record<string, string | null> = {
    "version.py": "__version__ = '2.13.0+cpu'\ncuda = None\n",
    "__init__.py": "raise RuntimeError('imported')\n",
    [`lib/${libraryName("torch_cpu")}`]: "",
    "include/torch/csrc/api/include/torch/torch.h": "",
    ...files,
  };
  for (const [name, text] of Object.entries(all)) {
    if (text === null) continue;
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

function withVariable(t: TestContext, name: string, value: string): void {
  const before = process.env[name];
  process.env[name] = value;
  t.after(() => {
    if (before === undefined) delete process.env[name];
    else process.env[name] = before;
  });
}

test("a usable torch is described, an unusable one is refused with the reason", (t) => {
  const good = fakeTorch(t);
  assert.deepEqual(inspectTorch(good, "python3"), {
    version: "2.13.0+cpu",
    cuda: null,
    folder: good,
    source: "python3",
  });
  const old = fakeTorch(t, { "version.py": "__version__ = '2.4.1'\n" });
  assert.match(String(inspectTorch(old, "python3")), /torch 2\.4\.1 in .* is too old: 2\.9 or newer/);
  const bare = fakeTorch(t, { "include/torch/csrc/api/include/torch/torch.h": null });
  assert.match(String(inspectTorch(bare, "python3")), /has no include.torch.csrc.api.include/);
  const none = fakeTorch(t, { "version.py": null });
  assert.match(String(inspectTorch(none, "python3")), /neither version\.py nor build-version/);
});

test("an unzipped libtorch is read by its build-version", (t) => {
  const folder = fakeTorch(t, { "version.py": null, "build-version": "2.10.0+cu130\n" });
  const found = inspectTorch(folder, "PREFTUNE_TORCH");
  assert.ok(typeof found !== "string");
  assert.deepEqual([found.version, found.cuda], ["2.10.0+cu130", "13.0"]);
});

test("PREFTUNE_TORCH comes first; the folder above the package serves too", (t) => {
  const folder = fakeTorch(t);
  withVariable(t, "PREFTUNE_TORCH", dirname(folder));
  assert.equal(findTorch().torch?.folder, folder);
});

test("PREFTUNE_TORCH may be a Python, by path or by name: its torch is taken without importing it", {
  skip: findProgram("python3") === null ? "no python3" : false,
}, (t) => {
  const folder = fakeTorch(t);
  withVariable(t, "PYTHONPATH", dirname(folder));
  for (const python of ["python3", findProgram("python3") ?? ""]) {
    withVariable(t, "PREFTUNE_TORCH", python);
    const { torch, watched } = findTorch();
    assert.deepEqual([torch?.folder, torch?.source], [folder, "PREFTUNE_TORCH"]);
    assert.ok(watched.length > 1 && watched.includes(folder), watched.join(" "));
  }
});

test("a PREFTUNE_TORCH that is a program, but no Python, or a Python without torch, is an error", (t) => {
  for (const program of [process.execPath, "echo"]) {
    withVariable(t, "PREFTUNE_TORCH", program);
    assert.throws(
      findTorch,
      /PREFTUNE_TORCH=.*: .*(node|echo) is not a Python that runs\. Point it at a Python that has torch/,
    );
  }
  const folder = fakeTorch(t, { "__init__.py": null });
  const python = join(dirname(folder), "python");
  writeFileSync(python, `#!/bin/sh\necho '{"torch": null, "folders": []}'\n`, { mode: 0o755 });
  withVariable(t, "PREFTUNE_TORCH", python);
  assert.throws(findTorch, /python has no torch\. Point it at/);
});

test("a PREFTUNE_TORCH that is no torch is an error, not a search elsewhere", (t) => {
  withVariable(t, "PREFTUNE_TORCH", "/nowhere/torch");
  assert.throws(findTorch, (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /PREFTUNE_TORCH=\/nowhere\/torch: .* is not a torch/);
    return true;
  });
});

test("Python's torch is found without importing it", {
  skip: findProgram("python3") === null ? "no python3" : false,
}, (t) => {
  const folder = fakeTorch(t);
  withVariable(t, "PYTHONPATH", dirname(folder));
  // the package raises when imported, so an answer proves that it was not
  assert.equal(askPython(findProgram("python3") ?? "")?.torch, folder);
});
