/** Training runs of different shape on the CPU, each large enough that its tensors decide its memory. */

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
  {
    name: "LoRA with dropout in bfloat16, 8 layers of 512, untied head (Llama)",
    model: {
      ...{ ...llama, vocab_size: 8000, hidden_size: 512, intermediate_size: 1536 },
      ...{ num_hidden_layers: 8, num_attention_heads: 8, num_key_value_heads: 4 },
    },
    run: {
      ...{ objective: "simpo", dtype: "bfloat16", use_peft: true, lora_r: 16, lora_dropout: 0.05 },
      ...{ per_device_train_batch_size: 5, max_steps: 2 },
    },
    rows: 5,
    longest: [400, 250],
  },
  {
    name: "full in bfloat16, 10 layers of 512 (Qwen3)",
    model: {
      ...{ ...qwen3, vocab_size: 16_000, hidden_size: 512, intermediate_size: 1536, num_hidden_layers: 10 },
      ...{ num_attention_heads: 8, num_key_value_heads: 4, head_dim: 64 },
    },
    run: {
      objective: "slime",
      dtype: "bfloat16",
      per_device_train_batch_size: 4,
      max_steps: 2,
      learning_rate: 1e-5,
    },
    rows: 4,
    longest: [300, 200],
  },
  {
    name: "LoRA in bfloat16, norms that add 1 to their weight, 6 layers of 640 (Gemma 3)",
    model: {
      ...{ ...gemma3, vocab_size: 20_000, hidden_size: 640, intermediate_size: 2560, num_hidden_layers: 6 },
      ...{ num_attention_heads: 4, num_key_value_heads: 1, head_dim: 256, query_pre_attn_scalar: 256 },
      ...{
        sliding_window: 128,
        layer_types: [1, 2, 3, 4, 5, 6].map((n) => (n === 6 ? "full_attention" : "sliding_attention")),
      },
    },
    run: {
      ...{ objective: "slime", dtype: "bfloat16", use_peft: true, lora_r: 16, lora_dropout: 0 },
      ...{ per_device_train_batch_size: 4, max_steps: 2 },
    },
    rows: 4,
    longest: [300, 200],
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
