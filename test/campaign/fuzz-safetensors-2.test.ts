/** Fuzz of safetensors headers, part 2 of 4: every input is read or refused with the project's own error. */
import { test } from "node:test";
import { fuzzSafetensors } from "../support/fuzz-safetensors.ts";

test("safetensors headers that are nearly right are read or refused by name, part 2", () =>
  fuzzSafetensors(2));
