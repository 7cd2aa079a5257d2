import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  clangProblem,
  type DoctorReport,
  defaultsOf,
  type LoadedAddon,
  reportCompiler,
  tryAddon,
} from "./doctor.ts";
import { formatDoctor } from "./doctor-text.ts";
import { computesBfloat16, parseCpuFlags } from "./hardware.ts";
import { locateAddon } from "./locate.ts";
import { findProgram } from "./path-search.ts";
import { setupCommand } from "./places.ts";

const loaded: LoadedAddon = {
  torchVersion: "2.13.0",
  cudaDevices: 0,
  hasMps: false,
  threads: 2,
  hasOnednn: true,
  instructionSet: "avx2",
};

const measurement = {
  forward: { torch: 71.4, onednn: 80.6, own: 60 },
  inputGradient: { torch: 70, onednn: 79, own: 0 },
  weightGradient: { torch: 69, onednn: 78, own: 0 },
  fewRows: { torch: 20, onednn: 11, own: 55 },
};

const healthy: DoctorReport = {
  preftune: { folder: "/opt/preftune", checkout: true },
  node: { version: "24.21.0", path: "/opt/node" },
  torch: { version: "2.13.0+cpu", cuda: null, folder: "/opt/torch", source: "python3" },
  compiler: { path: "/usr/bin/c++", prefix: [], version: "c++ 12.2.0" },
  addon: { path: "/opt/preftune.node", noNccl: null, prebuilt: false, given: false, loaded, error: null },
  processor: { model: "Test CPU", features: ["avx2"], cores: 8, usableCores: 2 },
  askedSet: null,
  memory: { totalBytes: 64 * 2 ** 30, limitBytes: 24 * 2 ** 30, availableBytes: 20.5 * 2 ** 30 },
  diskFreeBytes: 100 * 2 ** 30,
  gpus: [],
  matmul: { library: "onednn", reason: "measured", measurement },
  defaults: { device: "cpu", dtype: "float32" },
  problems: [],
  ready: true,
};

test("a healthy machine: every fact on its line, and the verdict last", () => {
  const text = formatDoctor(healthy, false);
  assert.match(text, /^torch {6}2\.13\.0\+cpu, .*CPU.* build, of python3: \/opt\/torch$/m);
  assert.match(text, /^threads {4}2 of 8 usable, torch uses 2$/m);
  assert.match(text, /^sets {7}baseline, avx2; the addon's own use avx2$/m);
  assert.match(
    text,
    /^products {3}oneDNN, the faster here; GFLOP\/s a thread:\n {11}training, forward: torch's own 71, oneDNN 81$/m,
  );
  assert.match(text, /^ {11}training, gradient of the weight: torch's own 69, oneDNN 78$/m);
  assert.match(
    text,
    /^ {11}generation, 8 rows: the addon's own 55, always in use there; torch's own 20, oneDNN 11$/m,
  );
  assert.match(text, /^memory {5}64\.0 GiB, limited to 24\.0 GiB, 20\.5 GiB available$/m);
  assert.match(text, /^defaults {3}device cpu, dtype float32$/m);
  assert.ok(text.endsWith("\nTraining can start.\n"));
  assert.ok(!text.includes("\u001b"));
});

test("an addon of clang: what it lacks, and how to have it", { skip: process.platform !== "linux" }, (t) => {
  assert.equal(clangProblem("c++ (Debian 12.2.0-14) 12.2.0", "rm -r addon && setup"), null);
  const before = process.env["CXX"];
  t.after(() => {
    if (before === undefined) delete process.env["CXX"];
    else process.env["CXX"] = before;
  });
  delete process.env["CXX"];
  const problem = clangProblem("Debian clang version 14.0.6", "rm -r addon && setup");
  assert.match(problem?.what ?? "", /built by clang \(Debian clang version 14\.0\.6\).* one core/);
  assert.match(problem?.fix ?? "", /install (g\+\+|gcc-c\+\+).*; rm -r addon && setup$/);
  assert.equal(problem?.blocking, false);
  process.env["CXX"] = "clang++";
  assert.match(clangProblem("clang 17", "setup")?.fix ?? "", /; unset CXX; setup$/);
});

test("a CXX that does not run is one problem, and says nothing of the path", (t) => {
  const before = process.env["CXX"];
  t.after(() => {
    if (before === undefined) delete process.env["CXX"];
    else process.env["CXX"] = before;
  });
  process.env["CXX"] = "absent++";
  const problems: DoctorReport["problems"] = [];
  assert.equal(reportCompiler(problems, false), null);
  assert.deepEqual(
    problems.map(({ fix }) => fix),
    ["unset CXX"],
  );
});

test("what several ranks send each other by", { skip: process.platform !== "linux" }, () => {
  const line = (report: DoctorReport) => /^ranks +(.*)$/m.exec(formatDoctor(report, false))?.[1];
  const torch = { version: "2.13.0", cuda: "13.0", folder: "/opt/torch", source: "python3" } as const;
  assert.equal(line(healthy), "by Gloo, on CPUs");
  assert.equal(line({ ...healthy, torch }), "by Gloo on CPUs, by NCCL on GPUs");
  const addon = { ...healthy.addon, noNccl: "headers of CUDA 13.0 are missing. To have them: COMMAND" };
  assert.equal(line({ ...healthy, torch, addon }), `by Gloo on CPUs; not on several GPUs: ${addon.noNccl}`);
});

test("which library makes matrix products, and why", () => {
  const line = (matmul: DoctorReport["matmul"], askedSet: DoctorReport["askedSet"] = null) =>
    /^products +(.*)$/m.exec(formatDoctor({ ...healthy, matmul, askedSet }, false))?.[1];
  assert.equal(
    line({ library: "torch", reason: "measured", measurement }),
    "torch's own, the faster here; GFLOP/s a thread:",
  );
  assert.equal(
    line({ library: "onednn", reason: "asked", measurement }),
    "oneDNN, by PREFTUNE_MATMUL; GFLOP/s a thread:",
  );
  assert.equal(
    line({ library: "onednn", reason: "assumed", measurement: null }),
    `oneDNN, not measured on this processor yet; ${setupCommand} measures it`,
  );
  // a processor that is held to a set is measured apart
  assert.equal(
    line({ library: "torch", reason: "assumed", measurement: null }, "avx512"),
    `torch's own, not measured with PREFTUNE_ISA=avx512 yet; PREFTUNE_ISA=avx512 ${setupCommand} measures it`,
  );
  assert.equal(
    line({
      library: "torch",
      reason: "measured",
      measurement: { ...measurement, forward: { torch: 100, onednn: 0, own: 1 } },
    }),
    "torch's own, the only one here; GFLOP/s a thread:",
  );
  assert.equal(line(null), "unknown without the addon");
});

test("what PREFTUNE_ISA holds kernels to stands beside what the processor has", () => {
  const text = formatDoctor(
    {
      ...healthy,
      askedSet: "avx2",
      processor: { ...healthy.processor, features: ["avx2", "avx512f"] },
    },
    false,
  );
  assert.match(
    text,
    /^sets {7}held to avx2 by PREFTUNE_ISA, the processor has baseline, avx2, avx512; the addon's own use avx2$/m,
  );
});

test("what is missing stands with the command that fixes it", () => {
  const text = formatDoctor(
    {
      ...healthy,
      torch: null,
      compiler: null,
      addon: {
        path: null,
        noNccl: null,
        prebuilt: false,
        given: false,
        loaded: null,
        error: "nothing is built yet",
      },
      problems: [
        { what: "no torch was found", fix: "npm run setup", blocking: true },
        { what: "no GPU build", fix: "pip install torch", blocking: false },
      ],
      ready: false,
    },
    false,
  );
  assert.match(text, /^torch {6}not found$/m);
  assert.match(text, /^addon {6}not ready: nothing is built yet$/m);
  assert.ok(text.includes("- no torch was found\n    npm run setup\n"));
  assert.ok(text.includes("- (training can start all the same) no GPU build\n    pip install torch\n"));
  assert.ok(text.endsWith("\nTraining cannot start.\n"));
});

test("colour is there when asked for", () => {
  assert.ok(formatDoctor(healthy, true).includes("\u001b[32mTraining can start.\u001b[0m"));
});

test("processor flags of x86 and ARM, and whether they mean native bfloat16", () => {
  const x86 = parseCpuFlags(
    "processor : 0\nmodel name : X\nflags\t\t: fpu avx2 avx512_bf16\nprocessor : 1\n",
  );
  assert.deepEqual([...x86], ["fpu", "avx2", "avx512_bf16"]);
  assert.equal(computesBfloat16(x86), true);
  assert.equal(computesBfloat16(parseCpuFlags("Features\t: fp asimd bf16\n")), true);
  assert.equal(computesBfloat16(parseCpuFlags("flags : avx2 avx512f\n")), false);
  assert.equal(computesBfloat16(parseCpuFlags("")), false);
});

test("device and dtype that auto stands for", () => {
  const gpu = { index: 0, uuid: "GPU-a", name: "g", memoryMiB: 1, driver: "1" };
  const cuda = { ...loaded, cudaDevices: 1 };
  const { features } = healthy.processor;
  assert.deepEqual(defaultsOf(cuda, [{ ...gpu, capability: 9 }], features), {
    device: "cuda",
    dtype: "bfloat16",
  });
  assert.deepEqual(defaultsOf(cuda, [{ ...gpu, capability: 7.5 }], features), {
    device: "cuda",
    dtype: "float32",
  });
  assert.deepEqual(defaultsOf(loaded, [{ ...gpu, capability: 9 }], features), {
    device: "cpu",
    dtype: "float32",
  });
  assert.deepEqual(defaultsOf(null, [], ["avx2", "amx_bf16"]), { device: "cpu", dtype: "bfloat16" });
});

test("an addon that does not load is reported, not thrown", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "preftune-doctor-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "preftune.node");
  writeFileSync(path, "not a library");
  const report = tryAddon(path);
  assert.equal(report.loaded, null);
  assert.match(report.error ?? "", /^Error: .*preftune\.node/);
});

test("the command works with neither torch nor compiler: status 1, facts as JSON", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "preftune-doctor-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const env = { PATH: folder, PREFTUNE_TORCH: join(folder, "absent"), CXX: "no-such-compiler" };
  const command = join(import.meta.dirname, "command.ts");
  const result = spawnSync(process.execPath, [command, "doctor", "--json"], { env, encoding: "utf8" });
  assert.equal(result.status, 1, result.stderr);
  const report = JSON.parse(result.stdout) as DoctorReport;
  assert.deepEqual([report.torch, report.compiler, report.ready], [null, null, false]);
  assert.deepEqual(
    report.problems.map((problem) => problem.fix).filter((fix) => fix.startsWith("unset")),
    ["unset PREFTUNE_TORCH", "unset CXX"],
  );
});

/** What `doctor --json` says where the path is empty and PREFTUNE_ADDON is `addon`. */
function doctorOf(t: TestContext, addon: string) {
  const folder = mkdtempSync(join(tmpdir(), "preftune-doctor-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const env = { PATH: folder, PREFTUNE_ADDON: addon };
  const command = join(import.meta.dirname, "command.ts");
  const { status, stdout } = spawnSync(process.execPath, [command, "doctor", "--json"], {
    env,
    encoding: "utf8",
  });
  return { status, report: JSON.parse(stdout) as DoctorReport };
}

test("an addon that PREFTUNE_ADDON names needs neither torch nor compiler, as in a container", (t) => {
  const addon = locateAddon();
  const { status, report } = doctorOf(t, addon);
  assert.deepEqual([status, report.problems], [0, []]);
  const text = formatDoctor(report, false);
  assert.ok(text.includes(`\naddon      given by PREFTUNE_ADDON and loads: ${addon}\n`), text);
  assert.match(text, /^torch {6}\d+\.\d+\.\S+, that of the addon$/m);
  assert.match(text, /^compiler {3}not needed$/m);
  assert.ok(text.endsWith("\nTraining can start.\n"));
});

test("a PREFTUNE_ADDON that is not there stops training, and is what is to be mended", (t) => {
  const { status, report } = doctorOf(t, "/nowhere/preftune.node");
  assert.equal(status, 1);
  assert.deepEqual(
    report.problems.map(({ fix, blocking }) => [fix, blocking]),
    [["unset PREFTUNE_ADDON", true]],
  );
  assert.match(report.problems[0]?.what ?? "", /^PREFTUNE_ADDON=\/nowhere\/preftune\.node: no such file\./);
});

test("another python3 on the path is set up again by the next command: training can start", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "preftune-doctor-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const python = findProgram("python3");
  if (python !== null) {
    writeFileSync(join(folder, "python3"), `#!/bin/sh\nexec "${python}" "$@"\n`, { mode: 0o755 });
  }
  const { NODE_OPTIONS: _, PREFTUNE_ADDON: __, ...rest } = process.env;
  const env = { ...rest, PATH: `${folder}:${process.env["PATH"]}` };
  const command = join(import.meta.dirname, "command.ts");
  const result = spawnSync(process.execPath, [command, "doctor", "--json"], { env, encoding: "utf8" });
  assert.equal(result.status, 0, result.stdout);
  const { problems, ready } = JSON.parse(result.stdout) as DoctorReport;
  assert.equal(ready, true);
  if (python === null) return;
  assert.match(
    problems[0]?.what ?? "",
    /not ready: python3 or the compiler is another one\. The next command/,
  );
});
