import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ConfigError } from "../base/errors.ts";
import { findCompiler } from "./compiler.ts";
import { findProgram } from "./path-search.ts";

/** A path with only these programs, each a shell script. */
function onlyPrograms(t: TestContext, programs: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), "preftune-path-"));
  const before = { PATH: process.env["PATH"], CXX: process.env["CXX"] };
  t.after(() => {
    rmSync(folder, { recursive: true });
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });
  for (const [name, body] of Object.entries(programs)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  process.env["PATH"] = folder;
  delete process.env["CXX"];
  return folder;
}

test("the first compiler that runs is taken, with its version line", (t) => {
  const folder = onlyPrograms(t, {
    "c++": "exit 1",
    "g++": "echo 'g++ 12.2'; echo more",
    "clang++": "echo 'clang 17'",
  });
  assert.deepEqual(findCompiler(), { path: join(folder, "g++"), prefix: [], version: "g++ 12.2" });
});

test("on Linux a compiler that is not clang is taken before one that is, under any name", {
  skip: process.platform !== "linux",
}, (t) => {
  const clang = "echo 'Debian clang version 14.0.6'";
  const folder = onlyPrograms(t, { "c++": clang, "g++": "echo 'g++ 12.2'", "clang++": clang });
  assert.equal(findCompiler()?.path, join(folder, "g++"));
  rmSync(join(folder, "g++"));
  assert.equal(findCompiler()?.path, join(folder, "c++"));
});

test("a GCC that is too old for the addon is not taken before a clang", {
  skip: process.platform !== "linux",
}, (t) => {
  const old = "echo 'g++ (GCC) 8.5.0 20210514 (Red Hat 8.5.0-4)'";
  const clang = "echo 'clang version 17.0.6 (Red Hat 17.0.6-1)'";
  const folder = onlyPrograms(t, { "c++": clang, "g++": old });
  assert.equal(findCompiler()?.path, join(folder, "c++"));
  writeFileSync(join(folder, "g++"), "#!/bin/sh\necho 'g++-11 (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0'\n");
  assert.equal(findCompiler()?.path, join(folder, "g++"));
  const other = onlyPrograms(t, { "c++": old, "g++": old, "clang++": clang });
  assert.equal(findCompiler()?.path, join(other, "clang++"));
  rmSync(join(other, "clang++"));
  assert.equal(findCompiler()?.path, join(other, "c++"), "better than none: the compiler says what it lacks");
});

test("CXX comes first and may have a prefix", (t) => {
  const folder = onlyPrograms(t, { "c++": "echo system", ccache: 'echo "cached $1"' });
  process.env["CXX"] = "ccache g++-14";
  assert.deepEqual(findCompiler(), {
    path: join(folder, "ccache"),
    prefix: ["g++-14"],
    version: "cached g++-14",
  });
});

test("a CXX that does not run is an error; no compiler at all is not", (t) => {
  onlyPrograms(t, {});
  assert.equal(findCompiler(), null);
  process.env["CXX"] = "absent++";
  assert.throws(
    findCompiler,
    (error: unknown) => error instanceof ConfigError && error.message.startsWith("CXX=absent++ "),
  );
});

test("a file that may not be executed is no program", (t) => {
  const folder = onlyPrograms(t, { tool: "exit 0" });
  assert.equal(findProgram("tool"), join(folder, "tool"));
  chmodSync(join(folder, "tool"), 0o644);
  assert.equal(findProgram("tool"), null);
  assert.equal(findProgram("absent"), null);
});
