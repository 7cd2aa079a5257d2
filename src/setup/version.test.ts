import assert from "node:assert/strict";
import { test } from "node:test";
import { isAtLeast, parseBuildVersion, parseVersionFile } from "./version.ts";

test("version.py of a CPU and of a CUDA wheel", () => {
  const cpu =
    "from typing import Optional\n\n__version__ = '2.13.0+cpu'\ndebug = False\ncuda: Optional[str] = None\nhip: Optional[str] = None\n";
  assert.deepEqual(parseVersionFile(cpu), { version: "2.13.0+cpu", cuda: null });
  const cuda = "__version__ = '2.9.1+cu128'\ndebug = False\ncuda: Optional[str] = '12.8'\n";
  assert.deepEqual(parseVersionFile(cuda), { version: "2.9.1+cu128", cuda: "12.8" });
  assert.deepEqual(parseVersionFile('__version__ = "2.10.0a0+git1"\ncuda = "13.0"\n'), {
    version: "2.10.0a0+git1",
    cuda: "13.0",
  });
});

test("a version.py without a version is none", () => {
  assert.equal(parseVersionFile("cuda = '12.8'\n"), null);
  assert.equal(parseVersionFile(""), null);
});

test("build-version of an unzipped libtorch", () => {
  assert.deepEqual(parseBuildVersion("2.13.0+cu128\n"), { version: "2.13.0+cu128", cuda: "12.8" });
  assert.deepEqual(parseBuildVersion("2.13.0+cpu"), { version: "2.13.0+cpu", cuda: null });
  assert.equal(parseBuildVersion("not a version"), null);
});

test("versions compare by number, not by text", () => {
  assert.equal(isAtLeast("2.13.0+cpu", "2.9"), true);
  assert.equal(isAtLeast("2.9.0", "2.9"), true);
  assert.equal(isAtLeast("3.0", "2.9"), true);
  assert.equal(isAtLeast("2.8.1", "2.9"), false);
  assert.equal(isAtLeast("1.13.1", "2.9"), false);
  assert.equal(isAtLeast("unknown", "2.9"), false);
});
