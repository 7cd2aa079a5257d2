/** The model the quick start begins with: Llama-shaped, about a million weights, random, as a Hugging Face directory. */
import { join } from "node:path";
import { writeDirectoryAtomic, writeFileAtomic } from "../base/files.ts";
import { parseModelConfig } from "../formats/hf-config.ts";
import { buildModel } from "../models/build.ts";
import { writeMergedModel } from "../models/save.ts";
import { randomWeights } from "../models/weights.ts";
import { scope, seeded } from "../torch/index.ts";
import { endOfTextId, endOfTurnId, makeTokenizer, writeTokenizer } from "./toy-tokenizer.ts";

/** Sizes of the model. */
export interface ModelShape {
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  keyValueHeads: number;
}

/** What a model is made from. */
export interface BaseModelOptions {
  shape: ModelShape;
  /** Text the tokenizer is learned from. */
  text: string;
  seed: number;
}

/** Writes a model with random weights and its tokenizer to `dir`: all of it, or nothing. */
export async function writeBaseModel(dir: string, { shape, text, seed }: BaseModelOptions): Promise<void> {
  const { files, vocabSize } = makeTokenizer(text);
  const json = configJson(shape, vocabSize);
  await writeDirectoryAtomic(
    dir,
    (temporary) => {
      using _ = scope();
      const config = parseModelConfig(json, join(dir, "config.json"));
      const model = seeded(seed, () => buildModel(config, randomWeights(initializerRange, 1)));
      writeMergedModel(temporary, model, "float32");
      writeTokenizer(temporary, files);
      const generation = { eos_token_id: endOfTurnId, pad_token_id: endOfTextId };
      writeFileAtomic(join(temporary, "generation_config.json"), `${JSON.stringify(generation, null, 2)}\n`);
    },
    { replace: true },
  );
}

const initializerRange = 0.06;

function configJson(shape: ModelShape, vocabSize: number): Record<string, unknown> {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: vocabSize,
    hidden_size: shape.hiddenSize,
    intermediate_size: shape.intermediateSize,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.keyValueHeads,
    hidden_act: "silu",
    max_position_embeddings: 256,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: true,
    initializer_range: initializerRange,
    bos_token_id: null,
    eos_token_id: endOfTurnId,
    pad_token_id: endOfTextId,
    torch_dtype: "float32",
  };
}
