/** Configuration keys of the model, the machine and LoRA (a table). */
import type { FieldTable } from "./field.ts";
import type { LoraKeys, ModelKeys } from "./run-config.ts";
import { choice, flag, integer, names, namesOr, number, optional, text } from "./value-types.ts";

/** The linear layers of a block, all of which LoRA adapts unless told otherwise. */
const LINEAR_LAYERS: readonly string[] = [
  "q_proj",
  "k_proj",
  "v_proj",
  "o_proj",
  "gate_proj",
  "up_proj",
  "down_proj",
];

/** Keys of the model and the machine. */
export const MODEL_FIELDS: FieldTable<ModelKeys> = {
  model_name_or_path: {
    type: text("a model directory or hub id"),
    doc: "The model to train: a Hugging Face model directory, or a hub id that is fetched.",
    source: "TRL name; must be given",
  },
  output_dir: {
    type: text("a directory path"),
    doc: "The run directory: configuration, metrics, checkpoints, export and report are written there.",
    source: "TRL name; must be given",
    freeOnResume: true,
  },
  run_name: {
    type: optional(text()),
    default: null,
    doc: "A name for people; the report is headed by it. null: the name of output_dir.",
    source: "TRL",
    freeOnResume: true,
  },
  dtype: {
    type: choice(["auto", "float32", "bfloat16"]),
    default: "auto",
    doc: "Type of the activations and, with LoRA, of the frozen weights; trained weights are float32. auto: bfloat16 where the device computes it natively, else float32.",
    source: "preftune; TRL's command line takes float32",
  },
  device: {
    type: text('"auto", "cpu", "cuda", "cuda:N" or "mps"', /^(auto|cpu|mps|cuda(:\d+)?)$/),
    default: "auto",
    doc: "Where the model runs. auto: CUDA, then MPS, then CPU, whichever is there.",
    source: "preftune",
    freeOnResume: true,
  },
  threads: {
    type: optional(integer({ min: 1 })),
    default: null,
    doc: "CPU threads of torch; null: torch's choice. Another number can change the last bits of a result.",
    source: "torch",
    freeOnResume: true,
  },
  seed: {
    type: integer({ min: 0, max: 4294967295 }),
    default: 42,
    doc: "Seed of shuffling, dropout and new LoRA weights. One seed gives one run, bit for bit.",
    source: "TRL",
  },
};

/** Keys of LoRA. */
export const LORA_FIELDS: FieldTable<LoraKeys> = {
  use_peft: {
    type: flag(),
    default: false,
    doc: "Train a LoRA adapter (PEFT format) instead of all weights.",
    source: "TRL",
  },
  lora_r: { type: integer({ min: 1 }), default: 16, doc: "Rank of the adapter matrices.", source: "TRL" },
  lora_alpha: {
    type: number({ above: 0 }),
    default: 32,
    doc: "Scale of the adapter: its output is multiplied by lora_alpha / lora_r.",
    source: "TRL",
  },
  lora_dropout: {
    type: number({ min: 0, below: 1 }),
    default: 0.05,
    doc: "Fraction of the adapter's inputs that are zeroed in training.",
    source: "TRL",
  },
  lora_target_modules: {
    type: namesOr("all-linear", 'a list of layer names, or "all-linear"'),
    default: [...LINEAR_LAYERS],
    doc: "Layers that get an adapter, by the last part of their name.",
    source: "SLIME paper: all seven linear layers of a block",
  },
  lora_modules_to_save: {
    type: names("a list of module names"),
    default: [],
    doc: "Modules trained in full and saved with the adapter, such as lm_head. A tied head is untied.",
    source: "TRL",
  },
  use_rslora: {
    type: flag(),
    default: false,
    doc: "Scale by lora_alpha / sqrt(lora_r) (rank-stabilised LoRA).",
    source: "TRL",
  },
  use_dora: {
    type: flag(),
    default: false,
    doc: "Learn magnitude and direction of the weights separately (DoRA).",
    source: "TRL",
  },
  adapter_name_or_path: {
    type: optional(text("an adapter directory or hub id")),
    default: null,
    doc: "A PEFT adapter to start from; its rank, scale, targets and kind are taken from its own file.",
    source: "LLaMA-Factory name",
  },
};
