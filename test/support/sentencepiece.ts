/**
 * A model whose tokenizer is made as SentencePiece's are (Llama 2's form: `▁` for a space, bytes for what has no piece, no
 * space at the beginning of a text), and which writes the tokens that a test wants, one after the other.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeSafetensors } from "../../src/formats/safetensors-write.ts";
import { tensorSource } from "../../src/models/save.ts";
import { tensor } from "../../src/torch/index.ts";

const bytes = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
);
const special = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"];
const verdict = ["[[", "A", ">", "B", "]]"];
const words = [
  "▁",
  "▁▁",
  "▁t",
  "▁th",
  "▁the",
  "▁cat",
  "the",
  "s",
  "▁A",
  ".",
  ...verdict,
  ..."abcdefghijklmnoqrtuvwxyz",
];
const pieces = [...special, ...bytes, ...words];

/** Size of the vocabulary: the tokenizer's pieces, and one row that it does not know. */
export const vocabulary: number = pieces.length + 1;

/** Id of a piece; of a byte, as `<0xE2>`. */
export function piece(text: string): number {
  const id = pieces.indexOf(text);
  if (id < 0) throw new Error(`no piece "${text}"`);
  return id;
}

const replace = { type: "Replace", pattern: { String: " " }, content: "▁" };

/** Its tokenizer.json. */
const tokenizerJson: object = {
  version: "1.0",
  added_tokens: special.map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })),
  normalizer: { type: "Sequence", normalizers: [{ type: "Prepend", prepend: "▁" }, replace] },
  pre_tokenizer: null,
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
  },
  decoder: {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  },
  model: {
    type: "BPE",
    dropout: null,
    unk_token: "<unk>",
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: true,
    byte_fallback: true,
    ignore_merges: false,
    vocab: Object.fromEntries(pieces.map((text, id) => [text, id])),
    merges: [
      ["▁", "▁"],
      ["▁", "t"],
      ["▁t", "h"],
      ["▁th", "e"],
    ],
  },
};

const chatTemplate =
  "{% for message in messages %}<|im_start|>{{ message['role'] }}: {{ message['content'] }}<|im_end|>{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>{% endif %}";

/** Writes the tokenizer's files into `dir` and gives it. */
export function writeSentencePiece(dir: string): string {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "tokenizer.json"), JSON.stringify(tokenizerJson));
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: "<s>",
    eos_token: "</s>",
    unk_token: "<unk>",
    chat_template: chatTemplate,
  };
  writeFileSync(join(dir, "tokenizer_config.json"), JSON.stringify(config));
  return dir;
}

/**
 * Makes a model directory whose greedy answer after `chain[i]` is `chain[i + 1]`, whatever came before. Gives `dir`.
 *
 * @param chain - token ids, all different but the last
 * @param context - the longest context, in tokens
 * @param tokenizer - what writes the tokenizer's files, and its tokens; default: the one of this file
 */
export function makeChainModel(
  dir: string,
  chain: readonly number[],
  context = 512,
  tokenizer: { write: (dir: string) => void; size: number } = { write: writeSentencePiece, size: vocabulary },
): string {
  tokenizer.write(dir);
  const { size } = tokenizer;
  const zeros = (...shape: number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  const ones = () => tensor(new Float32Array(size).fill(1), [size]);
  const table = (entries: readonly [row: number, column: number][]) => {
    const values = new Float32Array(size * size);
    for (const [row, column] of entries) values[row * size + column] = 1;
    return tensor(values, [size, size]);
  };
  const following = chain.slice(1).map((id, i): [number, number] => [id, chain[i] as number]);
  const layer = "model.layers.0.";
  const tensors = {
    "model.embed_tokens.weight": table(Array.from({ length: size }, (_, id) => [id, id])),
    "lm_head.weight": table(following),
    "model.norm.weight": ones(),
    [`${layer}input_layernorm.weight`]: ones(),
    [`${layer}post_attention_layernorm.weight`]: ones(),
    [`${layer}self_attn.q_proj.weight`]: zeros(16, size),
    [`${layer}self_attn.k_proj.weight`]: zeros(8, size),
    [`${layer}self_attn.v_proj.weight`]: zeros(8, size),
    [`${layer}self_attn.o_proj.weight`]: zeros(size, 16),
    [`${layer}mlp.gate_proj.weight`]: zeros(8, size),
    [`${layer}mlp.up_proj.weight`]: zeros(8, size),
    [`${layer}mlp.down_proj.weight`]: zeros(size, 8),
  };
  writeSafetensors(
    join(dir, "model.safetensors"),
    Object.entries(tensors).map(([name, value]) => tensorSource(name, value)),
  );
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: size,
    hidden_size: size,
    intermediate_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 8,
    max_position_embeddings: context,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    hidden_act: "silu",
    tie_word_embeddings: false,
    bos_token_id: 1,
    eos_token_id: 2,
    torch_dtype: "float32",
  };
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
  return dir;
}
