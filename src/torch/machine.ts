/** The machine libtorch runs on: devices, threads, seeds and generator state, memory. */
import { guarded, native } from "./native.ts";
import { Tensor } from "./tensor.ts";

/** Version of the libtorch the addon was built against. */
export function torchVersion(): string {
  return native.torchVersion();
}

/** Threads of one operator on the CPU. */
export function threads(): number {
  return native.threads();
}

/** Sets the threads of one operator on the CPU. Results are reproducible for a fixed number. */
export function setThreads(count: number): void {
  guarded(() => native.setThreads(count));
}

/** Devices that can be used, best first: "cuda:0" …, "mps", "cpu". */
export function devices(): string[] {
  const { name = "", count = 0 } = native.accelerator() ?? {};
  const numbered = Array.from({ length: count }, (_, i) => `${name}:${i}`);
  return [...(name === "mps" ? ["mps"] : numbered), "cpu"];
}

/**
 * Whether `device` is a GPU as CUDA's: work is queued, a copy to it need not be waited for, half precision is native. Every
 * device but the CPU, Apple's and the one of tensors without data, such as the tests' rehearsal device (docs/rehearsal.md).
 */
export function isGpu(device: string): boolean {
  return !/^(cpu|mps|meta)(:|$)/.test(device);
}

/**
 * Makes `device` the current one of this thread: what names none of several GPUs takes memory and computes there. Torch begins with
 * the first.
 */
export function useDevice(device: string): void {
  guarded(() => native.useDevice(device));
}

/** Waits until everything queued on `device` is done; returns at once on the CPU. */
export function synchronize(device: string): void {
  guarded(() => native.synchronize(device));
}

/** Seeds the generators of all devices, which are those of the process: see {@link seeded} for what is to be repeatable. */
export function manualSeed(seed: number): void {
  native.manualSeed(seed);
}

/**
 * What `body` (synchronous) gives, with the generators of all devices seeded before. Another thread that does the same waits:
 * what is drawn in `body` follows from the seed alone.
 */
export function seeded<T>(seed: number, body: () => T): T {
  native.holdGenerators();
  try {
    native.manualSeed(seed);
    return body();
  } finally {
    native.releaseGenerators();
  }
}

/** State of a device's default generator, uint8. */
export function generatorState(device: string): Tensor {
  return new Tensor(guarded(() => native.generatorState(device)));
}

/** Puts a state of `generatorState` back. */
export function setGeneratorState(device: string, state: Tensor): void {
  guarded(() => native.setGeneratorState(device, state.handle));
}

/** Asks torch for deterministic kernels where it has both kinds; a kernel without one warns. */
export function setDeterministic(value: boolean): void {
  native.setDeterministic(value);
}

/** Bytes in use and their peak: torch's caching allocator on an accelerator, the process's resident set on the CPU. */
export function memoryInUse(device: string): { allocated: number; peak: number } {
  if (isGpu(device)) return guarded(() => native.deviceMemory(device));
  return { allocated: process.memoryUsage.rss(), peak: process.resourceUsage().maxRSS * 1024 };
}

/** Bytes that tensors of 64 KiB and more hold on the CPU, for leak checks; 0 where the addon has no allocator of its own. */
export function hostBytes(): number {
  return native.hostBytes();
}
