/** The families that are there: the one list of them. */
import type { ClassNames, Family } from "./family.ts";
import { gemma3 } from "./gemma3.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";

/** All families. */
export const families: readonly Family[] = [llama, qwen3, gemma3, qwen2, mistral];

/** A class that files may name, and the family that it is read as. */
export interface NamedClass extends ClassNames {
  family: Family;
  isMultimodal: boolean;
}

/** The classes of `some` families. */
export function classesOf(some: readonly Family[]): NamedClass[] {
  return some.flatMap((family) => [
    { ...family.names, family, isMultimodal: false },
    ...(family.multimodal === null ? [] : [{ ...family.multimodal, family, isMultimodal: true }]),
  ]);
}

/** The titles of `some` families, for messages: "Llama, Qwen3 or Gemma 3". */
export function titlesOf(some: readonly Family[]): string {
  const titles = some.map(({ title }) => title);
  return `${titles.slice(0, -1).join(", ")} or ${titles.at(-1)}`;
}
