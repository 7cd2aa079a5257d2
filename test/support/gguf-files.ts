/** GGUF files of small models for tests. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { embeddingName, headName } from "../../src/formats/checkpoint-names.ts";
import { openModel } from "../../src/formats/tied-head.ts";
import { buildModel } from "../../src/models/build.ts";
import { buildStored } from "../../src/models/load.ts";
import { writeMergedModel } from "../../src/models/save.ts";
import type { WeightSource } from "../../src/models/weights.ts";
import { type ExportGgufOptions, exportGguf } from "../../src/recipes/export-gguf.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { scope } from "../../src/torch/index.ts";
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
  "smollm3",
  "olmo2",
  "granite",
  "phi3",
  "phi4_mini_short",
  "gemma2",
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

/**
 * llama.cpp leaves rotary positions out in every fourth layer of SmolLM3, and nowhere else; its scale for Gemma 2 is that of the head;
 * in a context beyond the original length, of 512 tokens in tests, it takes LongRoPE's other factors; and it has no window for Mistral and
 * Phi-3, whose files end where the window does: one that 64 more tokens fit into.
 */
const changes: Partial<Record<FixtureFamily, ConfigJson>> = {
  smollm3: { no_rope_layers: [1, 1, 1] },
  gemma2: { query_pre_attn_scalar: 16 },
  mistral: { sliding_window: 128 },
  phi3: { sliding_window: 128 },
  phi4_mini_short: { original_max_position_embeddings: 512, max_position_embeddings: 2048 },
};

/** A copy of a fixture's model with the tokenizer that all fixtures share, so configured that llama.cpp computes it. Gives its directory. */
export function fixtureWithTokenizer(family: FixtureFamily, dir: string): string {
  cpSync(fixturePath(family, "model"), dir, { recursive: true });
  for (const file of ["tokenizer.json", "tokenizer_config.json"])
    cpSync(fixturePath("llama_tied", "model", file), join(dir, file));
  const config = join(dir, "config.json");
  const change = changes[family] ?? {};
  writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, "utf8")), ...change }));
  return dir;
}

/** The same with the embedding's matrix as its head: as one matrix, or as another beside it of the same numbers. */
export function fixtureWithHead(family: FixtureFamily, dir: string, isTied: boolean): string {
  const files = fixtureWithTokenizer(family, `${dir}-files`);
  const stored = openModel(files);
  const config = { ...stored.config, tieWordEmbeddings: isTied };
  const own = (source: WeightSource): WeightSource =>
    Object.assign(
      (name: string, shape: readonly number[]) => source(name === headName ? embeddingName : name, shape),
      source,
    );
  using _ = scope();
  const build = (source: WeightSource) => buildModel(config, own(source));
  const model = buildStored(files, stored, {}, { build, isHarmless: (name) => name === headName });
  mkdirSync(dir, { recursive: true });
  writeMergedModel(dir, model, "float32");
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) cpSync(join(files, file), join(dir, file));
  return dir;
}

/** A fixture's copy with its own configuration, so that its numbers stay what they are, and a chat template. */
export function fixtureModelDir(family: FixtureFamily, dir: string): string {
  fixtureWithTokenizer(family, dir);
  for (const file of ["config.json", "generation_config.json"])
    cpSync(fixturePath(family, "model", file), join(dir, file));
  cpSync(fixturePath("llama_tied", "model", "chat_template.jinja"), join(dir, "chat_template.jinja"));
  return dir;
}
