/** PREFTUNE_ISA holds every process of a benchmark, not ours alone. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { ConfigError } from "../../src/base/errors.ts";
import { readProcessor } from "../../src/setup/hardware.ts";
import { setsOf } from "../../src/setup/instruction-set.ts";
import { packageRoot } from "../../src/setup/places.ts";
import { heldLlama, heldMasks, heldVariables, isWithin } from "./held-sets.ts";
import { runHere } from "./processes.ts";

const names = ["PREFTUNE_ISA", "PREFTUNE_MATMUL", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"];
const before = [...names, "MKL_ENABLE_INSTRUCTIONS"].map((name) => [name, process.env[name]] as const);
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "preftune-held-"));
  for (const [name] of before) delete process.env[name];
});

afterEach(() => {
  rmSync(folder, { recursive: true });
  for (const [name, value] of before) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

test("the variables are those that the addon sets for itself", () => {
  const header = readFileSync(join(packageRoot, "native/instruction-sets.h"), "utf8");
  const rows = [...header.matchAll(/\{"(\w+)", "(\w+)", "(\w+)", "(\w+)"\}/g)];
  assert.deepEqual(
    rows.map(([, set]) => set),
    ["baseline", "avx2", "avx512"],
  );
  const present = setsOf(readProcessor().features);
  for (const [, set = "", torch, onednn, mkl] of rows.filter(([, set]) => present.some((s) => s === set))) {
    process.env["PREFTUNE_ISA"] = set;
    assert.deepEqual(heldVariables(), {
      ATEN_CPU_CAPABILITY: torch,
      ONEDNN_MAX_CPU_ISA: onednn,
      MKL_ENABLE_INSTRUCTIONS: mkl,
    });
  }
});

test("a process of any program gets them, one that the user has set stays, and the page names all", () => {
  const program = join(folder, "environment.mjs");
  writeFileSync(
    program,
    'const { ATEN_CPU_CAPABILITY: a, ONEDNN_MAX_CPU_ISA: b } = process.env; console.log(a + " " + b);',
  );
  assert.equal(runHere(program, [], 1).trim(), "undefined undefined");
  assert.deepEqual(heldMasks(), []);
  process.env["PREFTUNE_ISA"] = "baseline";
  assert.equal(runHere(program, [], 1).trim(), "default SSE41");
  process.env["ONEDNN_MAX_CPU_ISA"] = "AVX2";
  process.env["PREFTUNE_MATMUL"] = "torch";
  assert.equal(runHere(program, [], 1).trim(), "default AVX2");
  assert.deepEqual(heldMasks(), [
    "ATEN_CPU_CAPABILITY=default",
    "ONEDNN_MAX_CPU_ISA=AVX2",
    "MKL_ENABLE_INSTRUCTIONS=SSE4_2",
    "PREFTUNE_MATMUL=torch (ours alone)",
  ]);
});

test("a set that there is not is refused before anything runs", () => {
  process.env["PREFTUNE_ISA"] = "avx3";
  assert.throws(() => heldVariables(), ConfigError);
});

test("llama.cpp has no library left that needs more than the set", () => {
  const kinds = [
    "x64",
    "sse42",
    "ivybridge",
    "haswell",
    "alderlake",
    "icelake",
    "sapphirerapids",
    "tomorrow",
  ];
  const within = (set: Parameters<typeof isWithin>[0]) =>
    kinds.filter((kind) => isWithin(set, `/bins/libggml-cpu-${kind}.so`));
  assert.deepEqual(within("baseline"), ["x64", "sse42"]);
  assert.deepEqual(within("avx2"), ["x64", "sse42", "ivybridge", "haswell"]);
  assert.deepEqual(within("avx512"), ["x64", "sse42", "ivybridge", "haswell", "icelake"]);
  assert.ok(isWithin("baseline", "/bins/libggml-base.so"));
});

test("its folder is copied without them, again each time", { skip: process.arch !== "x64" }, () => {
  const bins = join("node_modules", "@node-llama-cpp", "bins");
  mkdirSync(join(folder, "given", bins), { recursive: true });
  for (const name of ["libggml-cpu-x64.so", "libggml-cpu-haswell.so", "llama-addon.node"]) {
    writeFileSync(join(folder, "given", bins, name), "");
  }
  assert.equal(heldLlama(join(folder, "given"), folder), join(folder, "given"));
  process.env["PREFTUNE_ISA"] = "baseline";
  for (const _ of [1, 2]) {
    const copy = heldLlama(join(folder, "given"), folder);
    assert.deepEqual(readdirSync(join(copy, bins)).sort(), ["libggml-cpu-x64.so", "llama-addon.node"]);
    writeFileSync(join(copy, bins, "left.so"), "");
  }
});
