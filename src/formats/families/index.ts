/** The families that are there: the one list of them. */
import type { ClassNames, Family, MultimodalClass } from "./family.ts";
import { gemma2 } from "./gemma2.ts";
import { gemma3 } from "./gemma3.ts";
import { gemma4 } from "./gemma4.ts";
import { granite } from "./granite.ts";
import { granite4 } from "./granite4.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { olmo2 } from "./olmo2.ts";
import { olmo3 } from "./olmo3.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";
import { smollm3 } from "./smollm3.ts";

/** All families. */
export const families: readonly Family[] = [
  llama,
  qwen3,
  gemma3,
  qwen2,
  mistral,
  smollm3,
  olmo2,
  olmo3,
  granite,
  granite4,
  phi3,
  gemma2,
  gemma4,
];

/** A class that files may name, and the family that it is read as. */
export interface NamedClass extends ClassNames {
  family: Family;
  /** Null: the family's own class. */
  multimodal: MultimodalClass | null;
}

/** The classes of `some` families. */
export function classesOf(some: readonly Family[]): NamedClass[] {
  return some.flatMap((family) => [
    { ...family.names, family, multimodal: null },
    ...(family.multimodal === null ? [] : [{ ...family.multimodal, family, multimodal: family.multimodal }]),
  ]);
}

/** The titles of `some` families, for messages: "Llama, Qwen3 or Gemma 3". */
export function titlesOf(some: readonly Family[]): string {
  const titles = some.map(({ title }) => title);
  return `${titles.slice(0, -1).join(", ")} or ${titles.at(-1)}`;
}
