/** The supported model families and the defaults of their configuration classes in transformers. */
import type { ModelFamily } from "./model-config.ts";

/** What `config.json` may leave out, in its own spelling. */
export interface FamilyDefaults {
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  /** null: as many as attention heads. */
  num_key_value_heads: number | null;
  /** null: hidden size / attention heads. */
  head_dim: number | null;
  max_position_embeddings: number;
  tie_word_embeddings: boolean;
}

/** One `model_type`: its family, defaults and the spelling of its activation. */
export interface FamilyRules {
  family: ModelFamily;
  modelType: string;
  architecture: string;
  /** Its `architectures` entry as a reward model. */
  rewardArchitecture: string;
  activationKey: "hidden_act" | "hidden_activation";
  activation: string;
  defaults: FamilyDefaults;
  tokens: { bos: number[]; eos: number[]; pad: number[] };
}

/** LlamaConfig, Qwen3Config and Gemma3TextConfig of transformers 4.57 and 5.23. */
const rulesByType: Readonly<Record<"llama" | "qwen3" | "gemma3_text", FamilyRules>> = {
  llama: {
    family: "llama",
    modelType: "llama",
    architecture: "LlamaForCausalLM",
    rewardArchitecture: "LlamaForSequenceClassification",
    activationKey: "hidden_act",
    activation: "silu",
    defaults: {
      vocab_size: 32_000,
      hidden_size: 4096,
      intermediate_size: 11_008,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: null,
      head_dim: null,
      max_position_embeddings: 2048,
      tie_word_embeddings: false,
    },
    tokens: { bos: [1], eos: [2], pad: [] },
  },
  qwen3: {
    family: "qwen3",
    modelType: "qwen3",
    architecture: "Qwen3ForCausalLM",
    rewardArchitecture: "Qwen3ForSequenceClassification",
    activationKey: "hidden_act",
    activation: "silu",
    defaults: {
      vocab_size: 151_936,
      hidden_size: 4096,
      intermediate_size: 22_016,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 32,
      head_dim: 128,
      max_position_embeddings: 32_768,
      tie_word_embeddings: false,
    },
    tokens: { bos: [], eos: [], pad: [] },
  },
  gemma3_text: {
    family: "gemma3",
    modelType: "gemma3_text",
    architecture: "Gemma3ForCausalLM",
    rewardArchitecture: "Gemma3TextForSequenceClassification",
    activationKey: "hidden_activation",
    activation: "gelu_pytorch_tanh",
    defaults: {
      vocab_size: 262_208,
      hidden_size: 2304,
      intermediate_size: 9216,
      num_hidden_layers: 26,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      head_dim: 256,
      max_position_embeddings: 131_072,
      tie_word_embeddings: true,
    },
    tokens: { bos: [2], eos: [1], pad: [0] },
  },
};

/** `model_type` values that are read, with the text model each one means. */
export const textTypeByModelType: Readonly<Record<string, keyof typeof rulesByType>> = {
  llama: "llama",
  qwen3: "qwen3",
  gemma3_text: "gemma3_text",
  gemma3: "gemma3_text",
};

/** `architectures` values that are read, with the `model_type` that goes with each. */
export const modelTypeByArchitecture: Readonly<Record<string, string>> = {
  LlamaForCausalLM: "llama",
  Qwen3ForCausalLM: "qwen3",
  Gemma3ForCausalLM: "gemma3_text",
  Gemma3ForConditionalGeneration: "gemma3",
};

/** `architectures` values of reward models that are read, with the `model_type` that goes with each. */
export const modelTypeByRewardArchitecture: Readonly<Record<string, string>> = {
  LlamaForSequenceClassification: "llama",
  Qwen3ForSequenceClassification: "qwen3",
  Gemma3TextForSequenceClassification: "gemma3_text",
  Gemma3ForSequenceClassification: "gemma3",
};

/** The rules of a text model. */
export function familyRules(textType: keyof typeof rulesByType): FamilyRules {
  return rulesByType[textType];
}
