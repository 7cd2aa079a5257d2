/** GPUs that plans are made for: memory and speed as their makers state them. */
import { ConfigError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import type { Cluster } from "./layout.ts";

/** A device to plan for. */
export interface Device {
  /** As `--gpu` takes it; "cpu" for the machine's processor. */
  id: string;
  name: string;
  isGpu: boolean;
  /** Whether the torch there is built for CUDA; left out: no. */
  hasCudaTorch?: boolean;
  /** Bytes of memory in all. */
  memoryBytes: number;
  /** FLOP/s of matrix products at best, by the type that they are computed in. */
  peaks: Readonly<Record<ComputeType, number>>;
}

/** Types that runs compute in. */
export type ComputeType = "float32" | "bfloat16";

const mebibyte = 2 ** 20;
const tera = 1e12;

/**
 * [id, name, names in nvidia-smi, MiB, TFLOP/s in bfloat16, in float32] of a GPU: memory as nvidia-smi lists it; bfloat16 on tensor cores without
 * sparsity, float32 sums; float32 without TF32, which torch leaves off by default and preftune does not turn on.
 */
type Row = readonly [
  id: string,
  name: string,
  listed: RegExp,
  mebibytes: number,
  bfloat16: number,
  float32: number,
];

const rows: readonly Row[] = [
  // NVIDIA H100 data sheet: SXM 1,979 TFLOP/s with sparsity; float32 67
  ["h100", "NVIDIA H100 SXM 80 GB", /\bH100\b(?!.* (PCIe|NVL))/i, 81_559, 989, 67],
  // NVIDIA H100 data sheet: PCIe 1,513 with sparsity; 51
  ["h100-pcie", "NVIDIA H100 PCIe 80 GB", /\bH100 PCIe\b/i, 81_559, 756, 51],
  // NVIDIA H200 data sheet: 1,979 with sparsity, 141 GB; 67
  ["h200", "NVIDIA H200 SXM 141 GB", /\bH200\b(?! NVL)/i, 143_771, 989, 67],
  // NVIDIA DGX B200 data sheet: 8 GPUs, 36 PFLOP/s with sparsity, 1,440 GB; HGX B200: 8 GPUs, float32 600
  ["b200", "NVIDIA B200 180 GB", /\bB200\b/i, 183_359, 2250, 75],
  // NVIDIA A100 data sheet: 312; 19.5
  ["a100-80g", "NVIDIA A100 80 GB", /\bA100\b/i, 81_920, 312, 19.5],
  ["a100-40g", "NVIDIA A100 40 GB", /\bA100\b/i, 40_960, 312, 19.5],
  // NVIDIA L40S data sheet: 733 with sparsity; 91.6
  ["l40s", "NVIDIA L40S 48 GB", /\bL40S\b/i, 46_068, 366, 91.6],
  // NVIDIA RTX 6000 Ada (AD102) white paper: 364; 91.1
  ["rtx6000-ada", "NVIDIA RTX 6000 Ada 48 GB", /\bRTX 6000 Ada\b/i, 49_140, 364, 91.1],
  // NVIDIA L4 data sheet: 242 with sparsity; 30.3
  ["l4", "NVIDIA L4 24 GB", /\bL4\b/i, 23_034, 121, 30.3],
  // NVIDIA A10 data sheet: 125; 31.2
  ["a10", "NVIDIA A10 24 GB", /\bA10\b/i, 23_028, 125, 31.2],
  // NVIDIA RTX Blackwell white paper: 209.5; 104.8
  ["rtx5090", "NVIDIA GeForce RTX 5090 32 GB", /\bRTX 5090\b(?! (Laptop|D)\b)/i, 32_607, 209.5, 104.8],
  // NVIDIA Ada white paper: 165.2; 82.6
  ["rtx4090", "NVIDIA GeForce RTX 4090 24 GB", /\bRTX 4090\b(?! (Laptop|D)\b)/i, 24_564, 165.2, 82.6],
  // NVIDIA Ampere GA102 white paper: 71; 35.6
  ["rtx3090", "NVIDIA GeForce RTX 3090 24 GB", /\bRTX 3090\b(?! (Laptop|Ti)\b)/i, 24_576, 71, 35.6],
];

/** Every GPU that plans are made for. */
export const gpus: readonly Device[] = rows.map(([id, name, _, memory, bfloat16, float32]) => ({
  id,
  name,
  isGpu: true,
  memoryBytes: memory * mebibyte,
  peaks: { bfloat16: bfloat16 * tera, float32: float32 * tera },
}));

/** Other names of a GPU. */
const aliases: Readonly<Record<string, string>> = {
  a100: "a100-80g",
  "a100-80gb": "a100-80g",
  "a100-40gb": "a100-40g",
  "h100-sxm": "h100",
  "rtx-5090": "rtx5090",
  "rtx-4090": "rtx4090",
  "rtx-3090": "rtx3090",
};

/**
 * The GPU of this name.
 *
 * @throws {ConfigError} with the names there are, and the nearest one
 */
export function gpuNamed(name: string): Device {
  const id = name.trim().toLowerCase();
  const wanted = Object.hasOwn(aliases, id) ? aliases[id] : id;
  const found = gpus.find((gpu) => gpu.id === wanted);
  if (found !== undefined) return found;
  const known = gpus.map((gpu) => gpu.id);
  throw new ConfigError(
    `--gpu: expected one of ${known.join(", ")}; got "${name}".${didYouMean(id, [...known, ...Object.keys(aliases)])} ` +
      "For another GPU give --memory GIB and --tflops TFLOP/s beside the nearest of these.",
  );
}

/**
 * The GPU whose name nvidia-smi gives, or null when it is not in the table.
 *
 * @param memoryMiB - null: as the table has it
 */
export function gpuListedAs(name: string, memoryMiB: number | null): Device | null {
  const ids = rows.filter(([, , listed]) => listed.test(name)).map(([id]) => id);
  const bytes = memoryMiB === null ? null : memoryMiB * mebibyte;
  const off = (gpu: Device): number => (bytes === null ? gpu.memoryBytes : Math.abs(gpu.memoryBytes - bytes));
  const [best] = gpus.filter(({ id }) => ids.includes(id)).toSorted((a, b) => off(a) - off(b));
  if (best === undefined) return null;
  return { ...best, name: `NVIDIA ${name.replace(/^NVIDIA /, "")}`, memoryBytes: bytes ?? best.memoryBytes };
}

/**
 * GB/s that a rank sends: NVLink of the boards that have it (H100 and its like 450 a direction, A100 300; taken to be 300), PCIe 4.0 of
 * the others; 400 Gb/s InfiniBand for each GPU between hosts. Processes on CPUs: the loopback, and 10 Gb/s.
 */
const speeds = { nvlink: 300, pcie: 25, infiniband: 50, loopback: 2, ethernet: 1.25 };
const withNvlink = /^(h100|h200|b200|a100-80g|a100-40g)$/;

/** Ranks on such devices and the paths between them. @param linkGBps - between hosts; left out: as is usual */
export function clusterOf(hosts: readonly number[], device: Device, linkGBps?: number): Cluster {
  const ofGpu = withNvlink.test(device.id) ? speeds.nvlink : speeds.pcie;
  const inside = 1e9 * (device.isGpu ? ofGpu : speeds.loopback);
  const link = 1e9 * (linkGBps ?? (device.isGpu ? speeds.infiniband : speeds.ethernet));
  return { hosts, inside, link };
}

/** Fraction of a GPU's memory that a plan fills: the rest is lost between the allocator's blocks. */
const usableFraction = 0.95;

/** Bytes of a device that may be filled. */
export function usableBytes(device: Device): number {
  return device.isGpu ? usableFraction * device.memoryBytes : device.memoryBytes;
}
