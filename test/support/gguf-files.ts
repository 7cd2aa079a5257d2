/** GGUF files of small models for tests. */
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { writeMergedModel } from "../../src/models/save.ts";
import { type ExportGgufOptions, exportGguf } from "../../src/recipes/export-gguf.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { type FixtureFamily, fixturePath } from "./fixture-files.ts";
import { type ConfigJson, tinyModel } from "./tiny-models.ts";

/** The fixtures of families that are written for llama.cpp. */
export const ggufFamilies: readonly FixtureFamily[] = [
  "llama_tied",
  "llama_untied",
  "qwen3",
  "gemma3_text",
  "qwen2_untied",
  "qwen2_tied",
  "mistral",
];

/** Exports a model or a run as `dir`/`name`.gguf and gives the path. */
export async function ggufOf(
  source: string,
  dir: string,
  name: string,
  options: Partial<ExportGgufOptions> = {},
): Promise<string> {
  const output = join(dir, `${name}.gguf`);
  await exportGguf({ source, output, type: "f32", device: "cpu", ...options });
  return output;
}

/** A tiny model of random weights with the tokenizer in `tokenizer`, of so many rows and other sizes. Gives its directory. */
export function modelWithTokenizer(
  dir: string,
  tokenizer: string,
  vocab_size: number,
  sizes: ConfigJson = {},
): string {
  mkdirSync(dir, { recursive: true });
  for (const file of ["tokenizer.json", "tokenizer_config.json"])
    cpSync(join(tokenizer, file), join(dir, file));
  const ends = { bos_token_id: null, eos_token_id: loadTokenizer(dir).eosTokenId };
  writeMergedModel(dir, tinyModel("llama_tied", { vocab_size, ...sizes, ...ends }), "float32");
  return dir;
}

/** A copy of a fixture's model with the tokenizer that all fixtures share. Gives its directory. */
export function fixtureWithTokenizer(family: FixtureFamily, dir: string): string {
  cpSync(fixturePath(family, "model"), dir, { recursive: true });
  for (const file of ["tokenizer.json", "tokenizer_config.json"])
    cpSync(fixturePath("llama_tied", "model", file), join(dir, file));
  return dir;
}
