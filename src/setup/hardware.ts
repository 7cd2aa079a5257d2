/** What the computer offers: processor, its features, threads, memory, disk. Reads, never changes anything. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statfsSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { dirname } from "node:path";
import { askedSet, featuresWithin } from "./instruction-set.ts";

/** Processor features that decide how fast training runs. */
const watchedFeatures = ["avx2", "avx512f", "avx512_bf16", "amx_bf16", "bf16"] as const;

/** The processor. `features` are those of `watchedFeatures` that it has. */
export interface Processor {
  model: string;
  features: string[];
  cores: number;
  /** Cores this process may use, by affinity and container limit. */
  usableCores: number;
}

/** Bytes of memory. `limit` is a container's, null where there is none. */
export interface Memory {
  totalBytes: number;
  limitBytes: number | null;
  availableBytes: number;
}

/** The flags of the first processor in the text of `/proc/cpuinfo`. */
export function parseCpuFlags(cpuinfo: string): Set<string> {
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? "";
  return new Set(line.split(/\s+/).filter(Boolean));
}

/** Whether a processor with these features multiplies bfloat16 itself, rather than slowly by way of float32. */
export function computesBfloat16(features: Iterable<string>): boolean {
  const native = new Set(["avx512_bf16", "amx_bf16", "bf16"]);
  return [...features].some((feature) => native.has(feature));
}

function readFeatures(): string[] {
  if (existsSync("/proc/cpuinfo")) {
    const flags = parseCpuFlags(readFileSync("/proc/cpuinfo", "utf8"));
    return watchedFeatures.filter((feature) => flags.has(feature));
  }
  if (process.platform !== "darwin") return [];
  const sysctl = (name: string) => spawnSync("sysctl", ["-n", name], { encoding: "utf8" }).stdout.trim();
  const features: string[] = [];
  if (sysctl("hw.optional.arm.FEAT_BF16") === "1") features.push("bf16");
  if (sysctl("hw.optional.avx2_0") === "1") features.push("avx2");
  return features;
}

/** Reads the processor. */
export function readProcessor(): Processor {
  const all = cpus();
  return {
    model: all[0]?.model.trim() || "unknown",
    features: readFeatures(),
    cores: all.length,
    usableCores: availableParallelism(),
  };
}

/**
 * The features that may be used: all of the processor's, or those within PREFTUNE_ISA.
 *
 * @throws {ConfigError} if that names no instruction set of this processor
 */
export function usableFeatures(): string[] {
  const features = readFeatures();
  const asked = askedSet(features);
  return asked === null ? features : featuresWithin(asked, features);
}

/**
 * The processor as measurements name it, with the features that may be used. Virtual machines shorten the name and hide features: family and model number tell one
 * generation from another, as "AMD EPYC, family 25 model 17 (avx2 avx512f)".
 */
export function processorName(): string {
  const { model } = readProcessor();
  const features = usableFeatures();
  const text = existsSync("/proc/cpuinfo") ? readFileSync("/proc/cpuinfo", "utf8") : "";
  const family = /^cpu family\s*:\s*(\d+)/m.exec(text)?.[1];
  const number = /^model\s*:\s*(\d+)/m.exec(text)?.[1];
  const generation = family === undefined || number === undefined ? "" : `, family ${family} model ${number}`;
  return `${model}${generation}${features.length === 0 ? "" : ` (${features.join(" ")})`}`;
}

/** Reads the memory, within the container's limit where there is one. */
export function readMemory(): Memory {
  const totalBytes = totalmem();
  const limit = process.constrainedMemory();
  const limitBytes = limit > 0 && limit < totalBytes ? limit : null;
  return { totalBytes, limitBytes, availableBytes: process.availableMemory() };
}

/** Free bytes on the disk of `path`, or of its nearest existing parent. */
export function readFreeDisk(path: string): number {
  let folder = path;
  while (!existsSync(folder)) folder = dirname(folder);
  const stat = statfsSync(folder);
  return stat.bavail * stat.bsize;
}
