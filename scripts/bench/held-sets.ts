/**
 * What PREFTUNE_ISA holds beside ours: the peers are given the variables that the addon gives to torch, oneDNN and MKL
 * (`native/instruction-sets.h`), and llama.cpp, which has a library for each kind of processor and asks the processor, a folder that
 * lacks those for wider sets.
 */
import { cpSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { readProcessor } from "../../src/setup/hardware.ts";
import { askedSet, type InstructionSet } from "../../src/setup/instruction-set.ts";

const variables: Readonly<Record<InstructionSet, Readonly<Record<string, string>>>> = {
  baseline: {
    ATEN_CPU_CAPABILITY: "default",
    ONEDNN_MAX_CPU_ISA: "SSE41",
    MKL_ENABLE_INSTRUCTIONS: "SSE4_2",
  },
  avx2: { ATEN_CPU_CAPABILITY: "avx2", ONEDNN_MAX_CPU_ISA: "AVX2", MKL_ENABLE_INSTRUCTIONS: "AVX2" },
  avx512: {
    ATEN_CPU_CAPABILITY: "avx512",
    ONEDNN_MAX_CPU_ISA: "AVX512_CORE_FP16",
    MKL_ENABLE_INSTRUCTIONS: "AVX512",
  },
  amx: {},
};

const masks = ["ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS"];

function asked(): InstructionSet | null {
  return askedSet(readProcessor().features);
}

/**
 * The variables that hold torch, oneDNN and MKL of any process to the set that PREFTUNE_ISA names; none where it is not set. One that
 * the user has set stays as it is.
 *
 * @throws {ConfigError} if it names no set of this processor
 */
export function heldVariables(): Record<string, string> {
  const set = asked();
  const all = Object.entries(set === null ? {} : variables[set]);
  return Object.fromEntries(all.map(([name, value]) => [name, process.env[name] ?? value]));
}

/** What holds the processes of a benchmark, ours and the peers', as NAME=VALUE: by PREFTUNE_ISA, or set by the user. */
export function heldMasks(): string[] {
  const given = { ...process.env, ...heldVariables() };
  const held = masks.flatMap((name) => (given[name] === undefined ? [] : [`${name}=${given[name]}`]));
  const library = process.env["PREFTUNE_MATMUL"];
  return library === undefined ? held : [...held, `PREFTUNE_MATMUL=${library} (ours alone)`];
}

/** llama.cpp's libraries by the widest set that they need: names behind `libggml-cpu-`, on x86-64. */
const llamaLibraries: Readonly<Record<InstructionSet, readonly string[]>> = {
  baseline: ["x64", "sse42"],
  avx2: ["sandybridge", "ivybridge", "piledriver", "haswell"],
  avx512: ["skylakex", "cannonlake", "cascadelake", "icelake", "cooperlake", "zen4"],
  amx: ["alderlake", "sapphirerapids"],
};

/** Whether a file may be in the folder of a llama.cpp that is held to `set`: anything but a library for a wider one, or for an unknown one. */
export function isWithin(set: InstructionSet, path: string): boolean {
  const kind = /^(?:lib)?ggml-cpu-(.*)\.(?:so|dll|dylib)$/.exec(basename(path))?.[1];
  const sets = Object.keys(llamaLibraries) as InstructionSet[];
  const within = sets.slice(0, sets.indexOf(set) + 1);
  return kind === undefined || within.some((name) => llamaLibraries[name].includes(kind));
}

/**
 * The folder of llama.cpp to load, with node-llama-cpp in its node_modules: `folder`, or where PREFTUNE_ISA narrows an x86-64 a copy
 * of it, made again under `copies`, without the libraries that need more.
 */
export function heldLlama(folder: string, copies: string): string {
  const set = asked();
  if (set === null || set === "amx" || process.arch !== "x64") return folder;
  const copy = join(copies, `llama-${set}`);
  rmSync(copy, { recursive: true, force: true });
  const filter = (path: string) => isWithin(set, path);
  cpSync(join(folder, "node_modules"), join(copy, "node_modules"), { recursive: true, filter });
  return copy;
}
