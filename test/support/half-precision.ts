/** Whether tests may compute in bfloat16 for long. */
import { computesBfloat16, usableFeatures } from "../../src/setup/hardware.ts";

/** The reason to skip where the processor only emulates bfloat16, else false. */
export function skipWithoutBfloat16(): false | string {
  return computesBfloat16(usableFeatures()) ? false : "this processor only emulates bfloat16";
}
