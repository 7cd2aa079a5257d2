/** A tiny model directory with its tokenizer, and rows to train it on: all made here from a seed. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../../src/base/random.ts";
import { parseModelConfig } from "../../src/formats/hf-config.ts";
import { buildModel } from "../../src/models/build.ts";
import { loadModel } from "../../src/models/load.ts";
import { writeAdapter } from "../../src/models/save.ts";
import type { WeightSource } from "../../src/models/weights.ts";
import { scope, tensor } from "../../src/torch/index.ts";
import { chatMl } from "../../src/toy/toy-tokenizer.ts";
import { adapterParameters } from "../../src/train/parameters.ts";
import {
  adaptPatterned,
  type ConfigJson,
  checkpointTensors,
  type TinyName,
  tinyAdapterConfig,
  tinyConfig,
  writeCheckpoint,
} from "./tiny-models.ts";
import { toyFiles } from "./toy-tokenizer.ts";

/** What differs between tiny model directories. */
export interface TinyModelOptions {
  /** Default "llama_tied". */
  family?: TinyName;
  /** Decides the weights. Default 1. */
  seed?: number;
  /** Changed values of config.json. */
  config?: ConfigJson;
}

/** Size of the toy tokenizer's vocabulary. */
const vocabulary = 264;
/** Id of `<|im_end|>` in the toy tokenizer. */
export const endOfTurn = 2;

/** Makes the Hugging Face model directory `dir` (some 80 KB): weights, config, tokenizer with ChatML. Gives `dir`. */
export function makeTinyModel(dir: string, options: TinyModelOptions = {}): string {
  // the weights are freed here: collected later, they would change the counts of tensors that tests compare
  using _ = scope();
  const { family = "llama_tied", seed = 1 } = options;
  const config: ConfigJson = {
    ...tinyConfig(family),
    vocab_size: vocabulary,
    max_position_embeddings: 512,
    eos_token_id: endOfTurn,
    torch_dtype: "float32",
    ...options.config,
  };
  mkdirSync(dir, { recursive: true });
  const model = buildModel(
    parseModelConfig(config, join(dir, "config.json")),
    seededWeights(seed, family === "gemma3" ? 0 : 1),
  );
  writeCheckpoint(dir, config, checkpointTensors(model));
  const files = toyFiles({ chatTemplate: chatMl });
  writeFileSync(join(dir, "tokenizer.json"), JSON.stringify(files.tokenizer));
  writeFileSync(join(dir, "tokenizer_config.json"), JSON.stringify(files.config));
  return dir;
}

/** Makes an adapter of the tiny model in `model`, which its settings name, away from its start in every tensor. Gives `dir`. */
export function makeTinyAdapter(dir: string, model: string): string {
  using _ = scope();
  mkdirSync(dir);
  const adapted = loadModel(model);
  const { config } = adaptPatterned(adapted, tinyAdapterConfig({ baseModel: model }));
  writeAdapter(dir, config, adapterParameters(adapted).tensors);
  return dir;
}

/** Uniform weights of unit gain, norms near their neutral value. Depends on the order in which a model is built. */
function seededWeights(seed: number, neutralNorm: 0 | 1): WeightSource {
  const random = new Random(seed);
  const uniform = () => 2 * random.next() - 1;
  return (name, shape) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const isNorm = name.includes("norm");
    const bound = shape.length > 1 ? Math.sqrt(3 / (shape.at(-1) ?? 1)) : 0.1;
    const centre = isNorm ? neutralNorm : 0;
    return tensor(
      Float32Array.from({ length: count }, () => centre + bound * uniform()),
      shape,
    );
  };
}

/** A preference row of text. */
export interface PairRow {
  prompt: string;
  chosen: string;
  rejected: string;
}

const nouns = ["fox", "hen", "cat", "ox", "bee", "ant", "cow", "pig", "rat", "elk", "emu", "yak"];
const places = ["barn", "lake", "wood", "hill", "yard", "road"];

/** `count` preference rows, prompts all different: the chosen answer names the prompt's animal, the rejected another. */
export function pairRows(count: number, seed = 7): PairRow[] {
  const random = new Random(seed);
  return Array.from({ length: count }, (_, i) => {
    const animal = nouns[i % nouns.length] as string;
    const other = nouns[(i + 1 + random.below(nouns.length - 1)) % nouns.length] as string;
    const place = random.pick(places);
    return {
      prompt: `${i}: who is at the ${place}? ${animal}`,
      chosen: `the ${animal}${random.next() < 0.5 ? " is" : ""}`,
      rejected: `the ${other}${random.next() < 0.5 ? " is there" : ""}`,
    };
  });
}

/** The chosen answers of {@link pairRows} as chats, for supervised training. */
export function chatRows(count: number, seed = 7): unknown[] {
  return pairRows(count, seed).map(({ prompt, chosen }) => ({
    messages: [
      { role: "user", content: prompt },
      { role: "assistant", content: chosen },
    ],
  }));
}

/** Writes rows as JSON lines and gives the path. */
export function writeRows(path: string, rows: readonly unknown[]): string {
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}
