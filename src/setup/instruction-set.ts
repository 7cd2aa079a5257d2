/**
 * The instruction sets that products and kernels on the CPU are held to: all that the processor has, or what PREFTUNE_ISA names, so
 * that one machine tests several. The addon passes the limit on to torch, oneDNN and MKL (`native/instruction-sets.h`).
 */
import { ConfigError } from "../base/errors.ts";

/** An instruction set, each with those before it: what x86-64 and arm64 begin with, AVX2 with FMA, AVX-512, and AMX's tiles. */
export const instructionSets = ["baseline", "avx2", "avx512", "amx"] as const;

/** See {@link instructionSets}. */
export type InstructionSet = (typeof instructionSets)[number];

/** The feature that tells that a processor has a set, as /proc/cpuinfo names it. */
const needed: Readonly<Record<InstructionSet, string | null>> = {
  baseline: null,
  avx2: "avx2",
  avx512: "avx512f",
  amx: "amx_bf16",
};

/** The sets of a processor with these features, the last one the widest. */
export function setsOf(features: readonly string[]): InstructionSet[] {
  return instructionSets.filter((name) => {
    const feature = needed[name];
    return feature === null || features.includes(feature);
  });
}

/**
 * The set that PREFTUNE_ISA names; null where it is not set.
 *
 * @param features - of the processor
 * @throws {ConfigError} if it names none, or one that the processor lacks
 */
export function askedSet(features: readonly string[]): InstructionSet | null {
  const asked = process.env["PREFTUNE_ISA"] ?? "";
  if (asked === "") return null;
  const found = instructionSets.find((name) => name === asked);
  if (found === undefined) {
    throw new ConfigError(`PREFTUNE_ISA: expected one of ${instructionSets.join(", ")}, got "${asked}".`);
  }
  const present = setsOf(features);
  if (present.includes(found)) return found;
  throw new ConfigError(
    `PREFTUNE_ISA=${asked}: this processor does not have it. It has ${present.join(", ")}: name one of these, or unset it.`,
  );
}

/** Of a processor's features those that a set has. */
export function featuresWithin(set: InstructionSet, features: readonly string[]): string[] {
  const beyond: Readonly<Record<InstructionSet, RegExp>> = {
    baseline: /^(avx|amx)/,
    avx2: /^(avx512|amx)/,
    avx512: /^amx/,
    amx: /^$/,
  };
  return features.filter((feature) => !beyond[set].test(feature));
}
