/** The device that a run is planned for: this machine's, and how much of its peak is reached. */
import { ConfigError } from "../base/errors.ts";
import { counted } from "../base/number-text.ts";
import type { Environment } from "../forward/environment.ts";
import { type ComputeType, type Device, gpuListedAs } from "../planner/devices.ts";
import { readMemory, readProcessor } from "../setup/hardware.ts";
import { gpuOf } from "../setup/nvidia.ts";
import { stateFolder } from "../setup/places.ts";
import { readRecord } from "../setup/record.ts";
import type { PlanConfig } from "./plan-rows.ts";

/**
 * Model FLOPs utilisation. GPU: the best published single-GPU LoRA values are near it, with thousands of tokens in a
 * micro-batch of a large model; small ones wait for kernels to be launched (`planRun`). CPU: docs/performance.md.
 */
const usualUtilisation = { gpu: 0.4, cpu: 0.7 };

/** FLOP/s of a CPU thread: two fused multiply-adds on 8 floats a cycle (AVX2) at 2.8 GHz. */
const threadFlops = 90e9;

/** The fraction of a device's peak that is taken to be reached where nobody measured it. */
export function usualFraction({ isGpu }: Device): number {
  return isGpu ? usualUtilisation.gpu : usualUtilisation.cpu;
}

/** Where a device's speed in a type comes from, in words. */
export function speedSource({ isGpu }: Device, dtype: ComputeType): string {
  if (!isGpu) return `assumed: ${threadFlops / 1e9} GFLOP/s a thread, in float32 and bfloat16 alike`;
  const what = dtype === "bfloat16" ? "dense bfloat16" : "float32 without TF32";
  return `${what}, by the maker's data sheet`;
}

/** Whether the torch that set-up found is built for CUDA. */
function hasCudaTorch(): boolean {
  return (readRecord(stateFolder())?.torch.cuda ?? null) !== null;
}

/** Speeds that a GPU of no table is taken to have, in FLOP/s: they decide between layouts and nothing else. */
const unknownGpu = { float32: 20e12, bfloat16: 150e12 };

/**
 * The device of a rank of a run, as far as is known: its peak is never asked for.
 *
 * @param localRanks - of its host, which share a processor's memory
 */
export function deviceOfEnvironment(
  { device, threads }: Pick<Environment, "device" | "threads">,
  localRanks: number,
): Device {
  if (isCuda(device)) {
    const { name = device, memoryMiB = null } = gpuOf(device) ?? {};
    const memoryBytes = memoryMiB === null ? Number.POSITIVE_INFINITY : memoryMiB * 2 ** 20;
    return gpuListedAs(name, memoryMiB) ?? { id: "gpu", name, isGpu: true, memoryBytes, peaks: unknownGpu };
  }
  const { totalBytes, limitBytes } = readMemory();
  const peak = threads * threadFlops;
  return {
    ...{ id: "cpu", name: device, isGpu: false, memoryBytes: (limitBytes ?? totalBytes) / localRanks },
    hasCudaTorch: hasCudaTorch(),
    peaks: { float32: peak, bfloat16: peak },
  };
}

function isCuda(device: string): boolean {
  return /^cuda(:\d+)?$/.test(device);
}

/**
 * The device that a run would take on this machine, or what each of its ranks has of the processor; a GPU is a rank's own.
 *
 * @param ranks - that share the processor: each has its own threads, as many as `threads` says, and its part of cores and memory
 */
export function machineDevice(
  { device, threads }: Pick<PlanConfig, "device" | "threads">,
  ranks: number = 1,
): Device {
  const gpu = device === "auto" || isCuda(device) ? gpuOf(device) : null;
  if (gpu !== null) {
    const known = gpuListedAs(gpu.name, gpu.memoryMiB);
    if (known !== null) return known;
    throw new ConfigError(
      `This machine's ${gpu.name} is not in the table of GPUs. Name one like it with --gpu, and --memory and --tflops.`,
    );
  }
  if (device !== "auto" && device !== "cpu") {
    throw new ConfigError(
      `device: "${device}" is not on this machine, and plans need its figures. Name a GPU with --gpu.`,
    );
  }
  const processor = readProcessor();
  const memory = readMemory();
  const cores = processor.usableCores / ranks;
  const count = threads ?? Math.max(1, Math.floor(cores));
  const peak = (ranks === 1 ? count : Math.min(count, cores)) * threadFlops;
  const threadText = counted(count, "thread");
  return {
    id: "cpu",
    name: `${processor.model}, ${threadText}${ranks === 1 ? "" : ` for each of ${ranks} ranks`}`,
    isGpu: false,
    hasCudaTorch: hasCudaTorch(),
    memoryBytes: (memory.limitBytes ?? memory.totalBytes) / ranks,
    peaks: { float32: peak, bfloat16: peak },
  };
}
