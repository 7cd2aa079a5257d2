/** The device of tests that need a GPU: CUDA's first, else the rehearsal device (docs/rehearsal.md). */
import { devices } from "../../src/torch/index.ts";
import { openRehearsal, type Rehearsal } from "./rehearsal.ts";

/** Where such a test runs. */
export interface TestGpu {
  /** "cuda:0", "rehearsal:0"; "cpu" with `PREFTUNE_GPU_TESTS=cpu`, to try the tests themselves. */
  device: string;
  /** Why it cannot run; false where it can. */
  skip: string | false;
  /** Null on another device. */
  rehearsal: Rehearsal | null;
}

/** A GPU, or what stands in for it. `PREFTUNE_GPU_TESTS` names another device; "rehearsal" asks for that one beside a GPU too. */
export async function openGpu(): Promise<TestGpu> {
  const wanted = process.env["PREFTUNE_GPU_TESTS"] ?? devices().find((name) => name.startsWith("cuda"));
  if (wanted !== undefined && wanted !== "rehearsal") return { device: wanted, skip: false, rehearsal: null };
  const opened = await openRehearsal();
  return typeof opened === "string"
    ? { device: "cpu", skip: `no CUDA device that this torch can use, and ${opened}`, rehearsal: null }
    : { device: "rehearsal:0", skip: false, rehearsal: opened };
}
