/** Training runs of different shape on the CPU, each large enough that its tensors decide its memory. */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { Random } from "../../src/base/random.ts";
import { parseModelConfig } from "../../src/formats/hf-config.ts";
import { buildModel } from "../../src/models/build.ts";
import { loadRewardModel } from "../../src/models/load-reward-model.ts";
import { writeMergedModel } from "../../src/models/save.ts";
import { randomWeights } from "../../src/models/weights.ts";
import { manualSeed, scope } from "../../src/torch/index.ts";
import { chatMl } from "../../src/toy/toy-tokenizer.ts";
import { neutralNorm } from "../support/patterned.ts";
import { toyFiles } from "../support/toy-tokenizer.ts";

/** A run to plan and to measure. */
export interface PlannedRun {
  name: string;
  /** Values of config.json. */
  model: Record<string, unknown>;
  /** Values of the run's YAML besides its paths. */
  run: Record<string, unknown>;
  rows: number;
  /** Longest prompt and longest answer, in tokens. */
  longest: [number, number];
  /** Whether a reward model of the model's layers scores. */
  isScored?: boolean;
  /** Whether `npm test` measures it as well. */
  isInShort?: boolean;
}

const common = {
  dtype: "float32",
  eos_token_id: 2,
  bos_token_id: 0,
  rms_norm_eps: 1e-6,
  max_position_embeddings: 4096,
};
const qwen3 = {
  ...common,
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  tie_word_embeddings: true,
};
const llama = {
  ...common,
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  tie_word_embeddings: false,
};
const gemma3 = {
  ...common,
  architectures: ["Gemma3ForCausalLM"],
  model_type: "gemma3_text",
  tie_word_embeddings: true,
};

const gemma2 = { ...gemma3, architectures: ["Gemma2ForCausalLM"], model_type: "gemma2" };

const onPolicy = {
  ...{ objective: "ppo", num_ppo_epochs: 1, reward_funcs: ["length"], max_steps: 2 },
  ...{ num_generations: 4, per_device_train_batch_size: 8, max_completion_length: 60 },
};

const bigVocabulary = {
  ...qwen3,
  vocab_size: 120_000,
  hidden_size: 256,
  intermediate_size: 768,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 64,
};

/** Full and LoRA, kept and recomputed, deep and wide, all three families. */
export const plannedRuns: readonly PlannedRun[] = [
  {
    name: "full, big vocabulary, 4 layers of 256 (Qwen3)",
    model: bigVocabulary,
    run: { objective: "slime", per_device_train_batch_size: 1, max_steps: 2, learning_rate: 1e-5 },
    rows: 2,
    longest: [300, 200],
    isInShort: true,
  },
  {
    name: "LoRA with dropout, 8 layers of 512, untied head (Llama)",
    model: {
      ...llama,
      vocab_size: 8000,
      hidden_size: 512,
      intermediate_size: 1536,
      num_hidden_layers: 8,
      num_attention_heads: 8,
      num_key_value_heads: 4,
    },
    run: { objective: "simpo", use_peft: true, lora_r: 16, per_device_train_batch_size: 3, max_steps: 2 },
    rows: 3,
    longest: [400, 250],
  },
  {
    name: "LoRA in float32 on a checkpoint in bfloat16, 6 layers of 768, untied head (Llama)",
    model: {
      ...llama,
      dtype: "bfloat16",
      vocab_size: 40_000,
      hidden_size: 768,
      intermediate_size: 2304,
      num_hidden_layers: 6,
      num_attention_heads: 12,
      num_key_value_heads: 6,
    },
    run: { objective: "simpo", use_peft: true, lora_r: 8, per_device_train_batch_size: 1, max_steps: 2 },
    rows: 2,
    longest: [60, 40],
  },
  ...[false, true].map((load_in_4bit) => ({
    name: `DoRA with dropout, 4 layers of 1,536${load_in_4bit ? ", in 4 bits" : ""} (Llama)`,
    model: {
      ...llama,
      vocab_size: 8000,
      hidden_size: 1536,
      intermediate_size: 6144,
      num_hidden_layers: 4,
      num_attention_heads: 12,
      num_key_value_heads: 4,
    },
    run: {
      objective: "simpo",
      use_peft: true,
      use_dora: true,
      load_in_4bit,
      lora_r: 16,
      lora_dropout: 0.05,
      per_device_train_batch_size: 1,
      max_steps: 2,
    },
    rows: 2,
    longest: [400, 250] as [number, number],
  })),
  {
    name: "full, recomputed, 16 layers of 384, accumulated (Qwen3)",
    model: {
      ...qwen3,
      vocab_size: 16_000,
      hidden_size: 384,
      intermediate_size: 1152,
      num_hidden_layers: 16,
      num_attention_heads: 6,
      num_key_value_heads: 2,
      head_dim: 64,
    },
    run: {
      objective: "dpo",
      gradient_checkpointing: true,
      per_device_train_batch_size: 1,
      gradient_accumulation_steps: 2,
      max_steps: 2,
      learning_rate: 1e-5,
    },
    rows: 2,
    longest: [300, 200],
  },
  {
    name: "LoRA, lm_head in full, 6 layers of 640 (Gemma 3)",
    model: {
      ...gemma3,
      vocab_size: 12_000,
      hidden_size: 640,
      intermediate_size: 2048,
      num_hidden_layers: 6,
      num_attention_heads: 4,
      num_key_value_heads: 1,
      head_dim: 256,
      query_pre_attn_scalar: 256,
      sliding_window: 512,
    },
    run: {
      objective: "slime",
      use_peft: true,
      lora_r: 32,
      lora_dropout: 0,
      lora_modules_to_save: ["lm_head"],
      per_device_train_batch_size: 2,
      max_steps: 2,
    },
    rows: 2,
    longest: [450, 260],
  },
  {
    name: "full, caps on scores and logits, recomputed, 4 layers of 384 (Gemma 2)",
    model: {
      ...gemma2,
      vocab_size: 30_000,
      hidden_size: 384,
      intermediate_size: 1152,
      num_hidden_layers: 4,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      head_dim: 64,
      query_pre_attn_scalar: 64,
      sliding_window: 128,
    },
    run: {
      objective: "slime",
      gradient_checkpointing: true,
      per_device_train_batch_size: 2,
      max_steps: 2,
      learning_rate: 1e-5,
    },
    rows: 2,
    longest: [900, 400],
  },
  {
    name: "PPO, full: reference and value model beside it, 4 layers of 384 (Qwen3)",
    model: {
      ...qwen3,
      vocab_size: 20_000,
      hidden_size: 384,
      intermediate_size: 1152,
      num_hidden_layers: 4,
      num_attention_heads: 6,
      num_key_value_heads: 2,
      head_dim: 64,
    },
    run: { ...onPolicy, learning_rate: 1e-5 },
    rows: 2,
    longest: [300, 60],
  },
  {
    name: "PPO, LoRA: value model and reward model beside it, untied head (Llama)",
    model: {
      ...llama,
      vocab_size: 40_000,
      hidden_size: 512,
      intermediate_size: 1536,
      num_hidden_layers: 4,
      num_attention_heads: 8,
      num_key_value_heads: 4,
    },
    run: { ...onPolicy, reward_funcs: null, use_peft: true, lora_r: 16 },
    rows: 2,
    longest: [300, 60],
    isScored: true,
    isInShort: true,
  },
  {
    name: "GRPO, full: an evaluation loads the start again (Qwen3)",
    model: bigVocabulary,
    run: {
      ...{ objective: "grpo", reward_funcs: ["length"], num_generations: 2, max_completion_length: 30 },
      ...{
        per_device_train_batch_size: 2,
        max_steps: 2,
        eval_steps: 1,
        eval_fraction: 0.5,
        learning_rate: 1e-5,
      },
    },
    rows: 4,
    longest: [100, 60],
  },
  {
    name: "reward model, full, big vocabulary whose head is left out, 4 layers of 256 (Llama)",
    model: { ...bigVocabulary, ...llama },
    run: { objective: "reward", per_device_train_batch_size: 1, max_steps: 2, learning_rate: 1e-5 },
    rows: 2,
    longest: [300, 200],
  },
  {
    name: "full, averages in 8 bits, 4 layers of 256 (Qwen3)",
    model: bigVocabulary,
    run: {
      ...{ objective: "simpo", optim: "adamw_8bit", learning_rate: 1e-5 },
      ...{ per_device_train_batch_size: 1, max_steps: 2 },
    },
    rows: 2,
    longest: [300, 200],
  },
  ...(["load_in_4bit", "load_in_8bit"] as const).map(
    (key): PlannedRun => ({
      name: `LoRA, ${key}, 8 layers of 1,280, untied head (Llama)`,
      model: {
        ...llama,
        vocab_size: 8000,
        hidden_size: 1280,
        intermediate_size: 3840,
        num_hidden_layers: 8,
        num_attention_heads: 20,
        num_key_value_heads: 4,
      },
      run: {
        ...{ objective: "simpo", use_peft: true, lora_r: 16, lora_dropout: 0, [key]: true },
        ...{ per_device_train_batch_size: 1, max_steps: 2 },
      },
      rows: 2,
      longest: [300, 200],
    }),
  ),
];

/** Writes model, rows and configuration of a run into `dir` and gives the configuration's path. */
export function writePlannedRun(
  dir: string,
  { model, run, rows, longest, isScored = false }: PlannedRun,
): string {
  const base = join(dir, "model");
  mkdirSync(base, { recursive: true });
  writeModel(base, model);
  const data = join(dir, "rows.jsonl");
  writeFileSync(
    data,
    ("num_generations" in run ? textRows(rows, longest[0]) : tokenRows(rows, longest))
      .map((row) => `${JSON.stringify(row)}\n`)
      .join(""),
  );
  const rewardModel = join(dir, "reward-model");
  if (isScored) writeRewardModel(base, rewardModel);
  const config = {
    ...(isScored ? { reward_model: rewardModel } : {}),
    model_name_or_path: base,
    train_data: data,
    output_dir: join(dir, "run"),
    device: "cpu",
    dtype: "float32",
    threads: 1,
    max_length: 2048,
    save_strategy: "no",
    ...run,
  };
  const file = join(dir, "run.yaml");
  writeFileSync(file, stringify(config));
  return file;
}

function writeModel(dir: string, values: Record<string, unknown>): void {
  using _ = scope();
  const config = parseModelConfig(values, "config.json");
  manualSeed(0);
  writeMergedModel(dir, buildModel(config, randomWeights(0.02, neutralNorm(config))), config.dtype);
  writeFileSync(join(dir, "config.json"), JSON.stringify(values));
  const files = toyFiles({ chatTemplate: chatMl });
  writeFileSync(join(dir, "tokenizer.json"), JSON.stringify(files.tokenizer));
  writeFileSync(join(dir, "tokenizer_config.json"), JSON.stringify(files.config));
}

/** The layers of the model in `base` under a random score layer, with its tokenizer. */
function writeRewardModel(base: string, dir: string): void {
  using _ = scope();
  mkdirSync(dir, { recursive: true });
  writeMergedModel(dir, loadRewardModel(base, { newScore: "normal", padTokenId: null }), "float32");
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) cpSync(join(base, name), join(dir, name));
}

/** Prompts of so many bytes, which are a token each but for some merged ones. */
function textRows(count: number, bytes: number): { prompt: string }[] {
  const random = new Random(5);
  const letter = () => String.fromCharCode(97 + random.below(26));
  return Array.from({ length: count }, () => ({ prompt: Array.from({ length: bytes }, letter).join("") }));
}

/** Pairs of token ids of different lengths, one of them the longest. */
function tokenRows(count: number, [prompt, answer]: [number, number]): Record<string, number[]>[] {
  const random = new Random(5);
  const ids = (n: number): number[] => Array.from({ length: n }, () => 3 + random.below(250));
  const length = (longest: number, i: number) =>
    i === 0 ? longest : Math.ceil(longest * (0.5 + random.next() / 2));
  return Array.from({ length: count }, (_, i) => ({
    prompt_ids: ids(length(prompt, i)),
    chosen_ids: [...ids(length(answer, i) - 1), 2],
    rejected_ids: [...ids(length(answer, i) - 1), 2],
  }));
}
