/** Where and in what type a run computes, from what was asked for and what the machine has. */
import { ConfigError } from "../base/errors.ts";
import { computesBfloat16, usableFeatures } from "../setup/hardware.ts";
import type { MatmulLibrary } from "../setup/matmul-choice.ts";
import { gpuComputesBfloat16 } from "../setup/nvidia.ts";
import { type DType, devices, isGpu, setThreads, settleMatmul, threads, useDevice } from "../torch/index.ts";
import type { Numerics } from "./numerics.ts";

/** A device and the type of activations on it. */
export interface Environment {
  device: string;
  dtype: DType;
  threads: number;
  /** The library that makes float32 matrix products on the CPU. */
  matmul: MatmulLibrary;
}

/** What to run on, as in a run's configuration. */
export interface EnvironmentOptions {
  /** "auto" (default), "cpu", "cuda", "cuda:N", "mps" */
  device?: string;
  /** "auto" (default) is bfloat16 where the hardware computes in it, else float32. */
  dtype?: "auto" | "float32" | "bfloat16";
  /** Null (default): as many as torch takes. */
  threads?: number | null;
}

/**
 * Sets the number of threads and the current device, and settles device, type and the library of matrix products.
 *
 * @param resumed - the library that a run began with: its digits are to stay the same
 * @throws {ConfigError} if the device is not there
 */
export function settleEnvironment(
  options: EnvironmentOptions,
  resumed: MatmulLibrary | null = null,
): Environment {
  const { device: wanted = "auto", dtype: type = "auto", threads: count = null } = options;
  if (count !== null) setThreads(count);
  const device = settleDevice(wanted);
  useDevice(device);
  const dtype = type === "auto" ? (hasNativeBfloat16(device) ? "bfloat16" : "float32") : type;
  return { device, dtype, threads: threads(), matmul: settleMatmul(resumed) };
}

function settleDevice(wanted: string): string {
  const present = devices();
  if (wanted === "auto") return present[0] ?? "cpu";
  const exact = wanted === "cuda" ? "cuda:0" : wanted;
  if (present.includes(exact)) return exact;
  throw new ConfigError(
    `device: "${wanted}" is not available; this torch sees ${present.join(", ")}. See "preftune doctor".`,
  );
}

/** Whether matrix products in bfloat16 are done by the hardware; emulated they are some 80 times slower than float32. */
function hasNativeBfloat16(device: string): boolean {
  if (isGpu(device)) return gpuComputesBfloat16(device);
  return device === "cpu" && computesBfloat16(usableFeatures());
}

/**
 * How a model is run in `environment`; `keys` are those of a run's configuration.
 *
 * @throws {ConfigError} if activations are to leave a CPU's memory for a CPU's memory, or products for a CPU are wanted elsewhere
 */
export function numericsOf(
  keys: Required<Omit<Numerics, "dtype" | "temperature">>,
  { dtype, device }: Environment,
): Numerics {
  if (keys.activation_offloading && device === "cpu") {
    throw new ConfigError(
      "activation_offloading: the model runs on the CPU, where activations are in the computer's memory already. Leave it out.",
    );
  }
  if (keys.batch_invariant && device !== "cpu") {
    throw new ConfigError(
      `batch_invariant: the model runs on ${device}, and products whose rows do not depend on each other are there for the CPU alone. Leave it out, or set device: cpu.`,
    );
  }
  return {
    dtype,
    gradient_checkpointing: keys.gradient_checkpointing,
    gradient_checkpointing_blocks: keys.gradient_checkpointing_blocks,
    activation_offloading: keys.activation_offloading,
    logits_chunk_size: keys.logits_chunk_size,
    logits_kept_mib: keys.logits_kept_mib,
    batch_invariant: keys.batch_invariant,
  };
}
