/** The committed numbers of `test/goldens`; each file names the script and the versions it was written with. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Parsed content of `test/goldens/<name>.json`. */
export function golden<T>(
  name:
    | "optim"
    | "padding-row"
    | "adamw-8bit"
    | "quantised"
    | "nn"
    | "lora"
    | "models"
    | "multimodal"
    | "reward-models"
    | "rewards"
    | "tied-heads"
    | "sampling"
    | "agreement"
    | "bleu"
    | "chat"
    | "jinja"
    | "parquet"
    | "tokenizers"
    | "entropy-bonus",
): T {
  return JSON.parse(goldenText(name)) as T;
}

/** Text of `test/goldens/<name>.json`. */
export function goldenText(name: string): string {
  return readFileSync(join(import.meta.dirname, "../goldens", `${name}.json`), "utf8");
}

/** The numbers as float32 has them: goldens stand in the files in their shortest decimal form. */
export function float32(values: readonly number[]): number[] {
  return values.map(Math.fround);
}
