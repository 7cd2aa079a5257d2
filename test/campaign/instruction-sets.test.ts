/**
 * Every instruction set that this machine has, one after another by PREFTUNE_ISA: all libraries are held to it, and kernels, parity,
 * resuming and cuts hold there, weights in 4 and 8 bits included. `npm test` runs some files in one process a set.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { readProcessor } from "../../src/setup/hardware.ts";
import { type InstructionSet, setsOf } from "../../src/setup/instruction-set.ts";
import { isNightly } from "../support/campaign.ts";

const root = join(import.meta.dirname, "../..");
const sets = setsOf(readProcessor().features);

/** Kernels and attention over pages against torch's operators, their numbers against bitsandbytes', steps against transformers' and PEFT's. */
const some = [
  ...["src/nn/own-operators", "src/nn/quantised-linear", "test/parity/quantised-steps"],
  ...["test/parity/training-steps", "test/invariants/quantised", "src/generate/int8", "src/nn/kv-cache"],
];
/** Products in every layout, optimisers, the head, cuts and companions of sequences, cuts of a step, resuming. */
const more = [
  ...[
    "src/torch/matmul",
    "src/nn/rms-norm",
    "src/nn/rotary",
    "src/nn/mlp",
    "src/nn/packed-attention",
    "src/nn/dropout",
  ],
  ...[
    "src/optim/adamw",
    "src/optim/adamw-8bit",
    "src/optim/adamw-bf16",
    "src/optim/clip",
    "src/forward/token-logps",
  ],
  ...["src/generate/forward", "src/generate/prefix-cache", "src/generate/engine"],
  ...["test/parity/fixtures", "test/invariants/batches"],
  ...["test/invariants/resume", "test/invariants/resume-8bit", "test/invariants/quantised-run"],
  "test/invariants/threads",
];

/** What a process held to `set` printed. */
function held(set: InstructionSet, args: readonly string[], more: NodeJS.ProcessEnv = {}): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...process.execArgv, ...args], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, PREFTUNE_ISA: set, ...more },
  });
  assert.equal(status, 0, `${set}: ${stdout}${stderr}`);
  return stdout;
}

const mkl = { baseline: "SSE4.2", avx2: "AVX2", avx512: "AVX-512", amx: "AVX-512" };
const onednn = { baseline: null, avx2: /AVX2$/, avx512: /^(?!.*AMX).*(AVX-?512|AVX 10)/, amx: /AMX/ };

for (const set of sets) {
  test(`${set}: the addon, MKL and oneDNN are held to it`, { skip: process.platform !== "linux" }, () => {
    const verbose = { MKL_VERBOSE: "1", ONEDNN_VERBOSE: "1", PREFTUNE_MATMUL: "torch" };
    const text = held(set, [join(root, "test/support/instruction-set-child.ts")], verbose);
    assert.match(text, new RegExp(`^addon: ${set === "amx" ? "avx512" : set}$`, "m"));
    // MKL heeds its variable on Intel's processors alone
    const byMkl = /^MKL_VERBOSE oneMKL .*\(Intel\(R\) (SSE4\.2|AVX2|AVX-512)\)/m.exec(text)?.[1];
    if (/intel/i.test(readProcessor().model)) assert.equal(byMkl, mkl[set]);
    const byOnednn = /cpu,isa:(.*)$/m.exec(text)?.[1] ?? "none";
    assert.match(byOnednn, onednn[set] ?? /^(none|.*SSE4\.1)$/);
  });

  test(`${set}: kernels, parity, resuming and cuts`, {
    skip: !isNightly && set === sets.at(-1) ? "the other tests run with it" : false,
  }, () => {
    const files = (isNightly ? [...some, ...more] : some).map((name) => `${name}.test.ts`);
    const isolation = isNightly ? "process" : "none";
    const flags = ["--test", `--test-isolation=${isolation}`, "--test-concurrency=2", "--test-reporter=tap"];
    const text = held(set, [...flags, ...files]);
    assert.match(text, /^# fail 0$/m);
    assert.ok(Number(/^# pass (\d+)$/m.exec(text)?.[1]) >= 40, text);
  });
}
