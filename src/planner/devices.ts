/** GPUs that plans are made for: memory and speed as their makers state them. */
import { ConfigError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";

/** A device to plan for. */
export interface Device {
  /** As `--gpu` takes it; "cpu" for the machine's processor. */
  id: string;
  name: string;
  isGpu: boolean;
  /** Bytes of memory in all. */
  memoryBytes: number;
  /** FLOP/s of matrix products in the type that is trained in, at best. */
  peakFlops: number;
}

const mebibyte = 2 ** 20;
const tera = 1e12;

/** [id, name, MiB, TFLOP/s] of a GPU: memory as nvidia-smi lists it, bfloat16 tensor cores without sparsity, float32 sums. */
type Row = readonly [string, string, number, number];

const rows: readonly Row[] = [
  // NVIDIA H100 data sheet: SXM 1,979 TFLOP/s with sparsity
  ["h100", "NVIDIA H100 SXM 80 GB", 81_559, 989],
  // NVIDIA H100 data sheet: PCIe 1,513 with sparsity
  ["h100-pcie", "NVIDIA H100 PCIe 80 GB", 81_559, 756],
  // NVIDIA H200 data sheet: 1,979 with sparsity, 141 GB
  ["h200", "NVIDIA H200 SXM 141 GB", 143_771, 989],
  // NVIDIA DGX B200 data sheet: 8 GPUs, 36 PFLOP/s with sparsity, 1,440 GB
  ["b200", "NVIDIA B200 180 GB", 183_359, 2250],
  // NVIDIA A100 data sheet: 312
  ["a100-80g", "NVIDIA A100 80 GB", 81_920, 312],
  ["a100-40g", "NVIDIA A100 40 GB", 40_960, 312],
  // NVIDIA L40S data sheet: 733 with sparsity
  ["l40s", "NVIDIA L40S 48 GB", 46_068, 366],
  // NVIDIA RTX 6000 Ada (AD102) white paper: 364
  ["rtx6000-ada", "NVIDIA RTX 6000 Ada 48 GB", 49_140, 364],
  // NVIDIA L4 data sheet: 242 with sparsity
  ["l4", "NVIDIA L4 24 GB", 23_034, 121],
  // NVIDIA A10 data sheet: 125
  ["a10", "NVIDIA A10 24 GB", 23_028, 125],
  // NVIDIA RTX Blackwell white paper: 209.5
  ["rtx5090", "NVIDIA GeForce RTX 5090 32 GB", 32_607, 209.5],
  // NVIDIA Ada white paper: 165.2
  ["rtx4090", "NVIDIA GeForce RTX 4090 24 GB", 24_564, 165.2],
  // NVIDIA Ampere GA102 white paper: 71
  ["rtx3090", "NVIDIA GeForce RTX 3090 24 GB", 24_576, 71],
];

/** Every GPU that plans are made for. */
export const gpus: readonly Device[] = rows.map(([id, name, memory, speed]) => ({
  id,
  name,
  isGpu: true,
  memoryBytes: memory * mebibyte,
  peakFlops: speed * tera,
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

/** The GPU whose name nvidia-smi gives, or null when it is not in the table. */
export function gpuListedAs(name: string, memoryMiB: number): Device | null {
  const words = name.toLowerCase();
  const near = gpus.filter((gpu) => {
    const model = gpu.id.split("-")[0] ?? "";
    const digits = model.replace(/^rtx/, "");
    return new RegExp(`\\b${digits}\\b`).test(words.replace(/rtx ?/g, ""));
  });
  const byMemory = near.toSorted(
    (a, b) => Math.abs(a.memoryBytes - memoryMiB * mebibyte) - Math.abs(b.memoryBytes - memoryMiB * mebibyte),
  );
  const [best] = byMemory;
  return best === undefined
    ? null
    : { ...best, name: `NVIDIA ${name.replace(/^NVIDIA /, "")}`, memoryBytes: memoryMiB * mebibyte };
}

/** Share of a GPU's memory that a plan fills: the rest is lost between the allocator's blocks. */
const usableShare = 0.95;

/** Bytes of a device that may be filled. */
export function usableBytes(device: Device): number {
  return device.isGpu ? usableShare * device.memoryBytes : device.memoryBytes;
}
