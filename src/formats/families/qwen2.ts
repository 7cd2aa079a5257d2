/** Qwen2 and Qwen2.5: Llama's block with biases on q, k and v, whatever the file says (Yang et al. 2024, arXiv:2407.10671). */
import { isRecord } from "../../base/is-record.ts";
import { exportRope, parseRope } from "../hf-rope.ts";
import { type Family, fullLayers, plainDesign, plainForm, requireFullLayers } from "./family.ts";

/** What the class of the text part fills in, where Qwen2's fills in something else. */
const visionDefaults = {
  vocab_size: 152_064,
  hidden_size: 8192,
  intermediate_size: 29_568,
  num_hidden_layers: 80,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-5,
  rope_theta: 1_000_000,
  bos_token_id: 151_643,
  eos_token_id: 151_645,
};

/** A rotary table without its sections for the axes of an image: text has one place on all three. */
function oneAxis(table: unknown): unknown {
  if (!isRecord(table)) return table;
  const { mrope_section: _, ...rest } = table;
  const kinds = Object.entries(rest).filter(([, value]) => value === "mrope");
  return { ...rest, ...Object.fromEntries(kinds.map(([key]) => [key, "default"])) };
}

export const qwen2: Family = {
  name: "qwen2",
  title: "Qwen2",
  names: {
    modelType: "qwen2",
    architecture: "Qwen2ForCausalLM",
    rewardArchitecture: "Qwen2ForSequenceClassification",
    hasPeftTargets: true,
  },
  multimodal: {
    modelType: "qwen2_5_vl",
    architecture: "Qwen2_5_VLForConditionalGeneration",
    rewardArchitecture: null,
    hasPeftTargets: false,
    textType: "qwen2_5_vl_text",
    textTies: true,
    besideText: [
      "vision_config",
      "image_token_id",
      "video_token_id",
      "vision_start_token_id",
      "vision_end_token_id",
      "vision_token_id",
    ],
    asText: (fields) => ({
      ...visionDefaults,
      ...fields,
      rope_scaling: oneAxis(fields["rope_scaling"]),
      rope_parameters: oneAxis(fields["rope_parameters"]),
    }),
  },
  activationKey: "hidden_act",
  activation: "silu",
  defaults: {
    vocab_size: 151_936,
    hidden_size: 4096,
    intermediate_size: 22_016,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    head_dim: null,
    max_position_embeddings: 32_768,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
  },
  tokens: { bos: [], eos: [], pad: [] },
  ignored: ["sliding_window", "max_window_layers"],
  only: { use_sliding_window: [false], use_mrope: [false] },
  llamaCpp: {
    ...plainForm,
    name: "qwen2",
    turnsNeighbours: false,
    biases: ["q_proj", "k_proj", "v_proj"],
    headsFillWidth: true,
  },
  read(fields, sizes) {
    requireFullLayers(fields, sizes.numLayers, "Qwen2");
    const rope = parseRope(fields, { theta: 10_000, kinds: ["default", "yarn"] });
    const design = { ...plainDesign, biases: ["q_proj", "k_proj", "v_proj"] } as const;
    return { ...fullLayers(sizes), design, rope: { full: rope, sliding: null } };
  },
  write: ({ rope }) => ({ use_sliding_window: false, ...exportRope(rope.full) }),
};
