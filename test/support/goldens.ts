/** The committed numbers of `test/goldens`, written by `scripts/write-goldens.py` with PyTorch, transformers and PEFT. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Parsed content of `test/goldens/<name>.json`. */
export function golden<T>(name: "optim" | "nn" | "lora" | "models"): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, "../goldens", `${name}.json`), "utf8")) as T;
}

/** The numbers as float32 has them: goldens stand in the files in their shortest decimal form. */
export function float32(values: readonly number[]): number[] {
  return values.map(Math.fround);
}
