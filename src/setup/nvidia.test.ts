import assert from "node:assert/strict";
import { test } from "node:test";
import { gpuComputesBfloat16, gpuOf, parseNvidiaSmi, visibleGpus } from "./nvidia.ts";

const gpus = parseNvidiaSmi(
  "0, GPU-11aa, NVIDIA T400, 2048, 570.1, 7.5\n1, GPU-22bb, NVIDIA H100 80GB HBM3, 81559, 570.1, 9.0\n2, GPU-33cc, NVIDIA GB10, [N/A], 580.1, [N/A]\n",
);
const [small, large, unknown] = gpus;

test("nvidia-smi's lines, and what it does not say", () => {
  assert.deepEqual(small, {
    index: 0,
    uuid: "GPU-11aa",
    name: "NVIDIA T400",
    memoryMiB: 2048,
    driver: "570.1",
    capability: 7.5,
  });
  assert.deepEqual([unknown?.memoryMiB, unknown?.capability], [null, null]);
  assert.deepEqual(parseNvidiaSmi("No devices were found\n"), []);
});

test("a torch device is the GPU that CUDA numbers so among those that the process sees", () => {
  const cases: [device: string, variables: Record<string, string>, gpu: unknown][] = [
    ["cuda", {}, large],
    ["cuda:2", {}, small],
    ["cuda:0", { CUDA_DEVICE_ORDER: "PCI_BUS_ID" }, small],
    ["cuda:0", { CUDA_DEVICE_ORDER: "PCI_BUS_ID", CUDA_VISIBLE_DEVICES: "1" }, large],
    ["cuda:1", { CUDA_DEVICE_ORDER: "PCI_BUS_ID", CUDA_VISIBLE_DEVICES: "2, 0" }, small],
    ["cuda:0", { CUDA_VISIBLE_DEVICES: "GPU-11aa" }, small],
    ["cuda:1", { CUDA_VISIBLE_DEVICES: "MIG-7,GPU-22" }, large],
    ["cuda:0", { CUDA_VISIBLE_DEVICES: "MIG-7,GPU-22" }, null],
    ["cuda:0", { CUDA_VISIBLE_DEVICES: "" }, null],
    ["cuda:1", { CUDA_VISIBLE_DEVICES: "1" }, null],
  ];
  for (const [device, variables, gpu] of cases)
    assert.deepEqual(
      gpuOf(device, visibleGpus(gpus, variables)),
      gpu,
      `${device} ${JSON.stringify(variables)}`,
    );
});

test("the GPU that trains decides on bfloat16, not another of the host", () => {
  assert.equal(gpuComputesBfloat16("cuda:0", gpuOf("cuda:0", visibleGpus(gpus, {}))), true);
  assert.equal(gpuComputesBfloat16("cuda:2", small), false);
  assert.equal(gpuComputesBfloat16("cuda:0", unknown), true);
  assert.equal(gpuComputesBfloat16("cuda:0", null), true);
  assert.equal(gpuComputesBfloat16("mps", null), false);
});
