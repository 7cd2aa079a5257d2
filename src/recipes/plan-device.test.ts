import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { deviceOfEnvironment, machineDevice } from "./plan-device.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-gpus-"));
const given = { ...process.env };
const lines = [
  "0, GPU-a, NVIDIA L4, 23034, 570, 8.9",
  "1, GPU-b, NVIDIA H100 80GB HBM3, 81559, 570, 9.0",
  "2, GPU-c, NVIDIA GB10, [N/A], 570, 12.1",
];

before(() => {
  const program = join(dir, "nvidia-smi");
  writeFileSync(program, `#!/bin/sh\n${lines.map((line) => `echo '${line}'`).join("\n")}\n`);
  chmodSync(program, 0o755);
  process.env["PATH"] = `${dir}${delimiter}${given["PATH"]}`;
  process.env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID";
});
after(() => {
  rmSync(dir, { recursive: true });
  process.env = given;
});

test("a plan takes the GPU that the run would, with its memory", () => {
  const idOf = (device: string) => machineDevice({ device, threads: null }).id;
  process.env["CUDA_VISIBLE_DEVICES"] = "1,0";
  assert.deepEqual([idOf("auto"), idOf("cuda"), idOf("cuda:1")], ["h100", "h100", "l4"]);
  const bytes = (device: string) => deviceOfEnvironment({ device, threads: 1 }, 1).memoryBytes / 2 ** 20;
  assert.deepEqual([bytes("cuda:0"), bytes("cuda:1")], [81559, 23034]);
  process.env["CUDA_VISIBLE_DEVICES"] = "2";
  assert.equal(bytes("cuda:0"), Number.POSITIVE_INFINITY);
  assert.throws(() => idOf("cuda:0"), /This machine's NVIDIA GB10 is not in the table/);
});

test("ranks share cores and memory; threads are each rank's own", () => {
  const on = (ranks: number, threads: number | null) => machineDevice({ device: "cpu", threads }, ranks);
  const [alone, one, two] = [on(1, null), on(1, 1), on(2, 1)];
  const cores = Math.round(alone.peaks.float32 / one.peaks.float32);
  assert.equal(two.peaks.float32, one.peaks.float32 * Math.min(1, cores / 2));
  assert.equal(two.memoryBytes, one.memoryBytes / 2);
  assert.match(two.name, /, 1 thread for each of 2 ranks$/);
  const many = on(2 * cores, null);
  assert.equal(many.peaks.float32, one.peaks.float32 / 2);
  assert.equal(on(2, null).peaks.float32, one.peaks.float32 * Math.max(0.5, Math.floor(cores / 2)));
});
