/**
 * Which library makes float32 matrix products on the CPU: torch's own, MKL, or the kernels of oneDNN that torch carries. Neither
 * is the faster one on every processor, so both are measured at set-up, and the record of the set-up keeps what came out.
 */
import { spawnSync } from "node:child_process";
import { ConfigError } from "../base/errors.ts";
import { processorName } from "./hardware.ts";
import { stateFolder } from "./places.ts";
import { type MatmulMeasurement, readRecord } from "./record.ts";

const libraries = ["torch", "onednn"] as const;

/** A library for matrix products. */
export type MatmulLibrary = (typeof libraries)[number];

/** The library to take, why, and the measurement where there is one. */
export interface MatmulChoice {
  library: MatmulLibrary;
  /** "asked": by PREFTUNE_MATMUL; "measured": on this processor; "assumed": nothing was measured on it. */
  reason: "asked" | "measured" | "assumed";
  measurement: MatmulMeasurement | null;
}

/** Another library than torch's own must be worth it. */
const worthwhile = 1.05;

/** The library that takes the shorter time for the three products of a layer in training together. */
export function fasterLibrary({ forward, inputGradient, weightGradient }: MatmulMeasurement): MatmulLibrary {
  const time = (library: MatmulLibrary) =>
    1 / forward[library] + 1 / inputGradient[library] + 1 / weightGradient[library];
  return time("torch") >= worthwhile * time("onednn") ? "onednn" : "torch";
}

/**
 * The library for this process.
 *
 * @param hasOnednn - whether torch has oneDNN's kernels for this processor
 * @param measured - measurements by processor; those of the set-up's record unless given
 * @throws {ConfigError} if PREFTUNE_MATMUL names none, or one that is not there, or PREFTUNE_ISA no instruction set of the processor
 */
export function chooseMatmul(
  hasOnednn: boolean,
  measured: Record<string, MatmulMeasurement | null> = readRecord(stateFolder())?.matmul ?? {},
): MatmulChoice {
  const processor = processorName();
  const measurement = measured[processor] ?? null;
  const asked = askedLibrary();
  if (asked === "onednn" && !hasOnednn) {
    throw new ConfigError(
      "PREFTUNE_MATMUL=onednn: this torch has no oneDNN products for this processor. Unset it.",
    );
  }
  if (asked !== null) return { library: asked, reason: "asked", measurement };
  if (!hasOnednn) return { library: "torch", reason: "measured", measurement };
  if (measurement !== null) return { library: fasterLibrary(measurement), reason: "measured", measurement };
  // MKL is at home on Intel's processors
  return { library: /intel/i.test(processor) ? "torch" : "onednn", reason: "assumed", measurement };
}

function askedLibrary(): MatmulLibrary | null {
  const asked = process.env["PREFTUNE_MATMUL"] ?? "";
  if (asked === "") return null;
  const library = libraries.find((name) => name === asked);
  if (library !== undefined) return library;
  throw new ConfigError(`PREFTUNE_MATMUL: expected ${libraries.join(" or ")}, got "${asked}".`);
}

const program = "console.log(JSON.stringify(require(process.argv[1]).measureMatmul(1)))";

/** Measures both libraries for about a second, in a separate process; null where that fails. */
export function measureMatmul(addon: string): MatmulMeasurement | null {
  const { status, stdout } = spawnSync(process.execPath, ["-e", program, addon], {
    encoding: "utf8",
    timeout: 60_000,
  });
  return status === 0 ? (JSON.parse(stdout) as MatmulMeasurement) : null;
}
