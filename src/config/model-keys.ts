/** Configuration keys of the model, the machine and LoRA (a table). */

/** Keys of the model and the machine. */
export const MODEL_KEYS = {
  model_name_or_path: {
    schema: { type: "string", pattern: "\\S" },
    expected: "a model directory or hub id",
    doc: "The model to train: a Hugging Face model directory, or a hub id that is fetched.",
    source: "TRL name; must be given",
  },
  output_dir: {
    schema: { type: "string", pattern: "\\S" },
    expected: "a directory path",
    doc: "The run directory: configuration, metrics, checkpoints, export and report are written there.",
    source: "TRL name; must be given",
    freeOnResume: true,
  },
  run_name: {
    schema: { type: ["string", "null"], pattern: "\\S", default: null },
    doc: "A name for people; the report is headed by it. null: the name of output_dir.",
    source: "TRL",
    freeOnResume: true,
  },
  dtype: {
    schema: { enum: ["auto", "float32", "bfloat16"], default: "auto" },
    doc: "Type of the activations and, with LoRA, of the frozen weights; trained weights are float32. auto: bfloat16 where the device computes it natively, else float32.",
    source: "preftune; TRL's command line takes float32",
  },
  device: {
    schema: { type: "string", pattern: "^(auto|cpu|mps|cuda(:\\d+)?)$", default: "auto" },
    expected: '"auto", "cpu", "cuda", "cuda:N" or "mps"',
    doc: "Where the model runs. auto: CUDA, then MPS, then CPU, whichever is there.",
    freeOnResume: true,
  },
  threads: {
    schema: { type: ["integer", "null"], minimum: 1, default: null },
    doc: "CPU threads of torch; null: torch's choice. Another number can change the last bits of a result.",
    source: "torch",
    freeOnResume: true,
  },
  seed: {
    schema: { type: "integer", minimum: 0, maximum: 4294967295, default: 42 },
    doc: "Seed of shuffling, dropout and new LoRA weights. One seed gives one run, bit for bit.",
    source: "TRL",
  },
} as const;

/** Keys of a frozen model in fewer bits, below an adapter. */
export const QUANTISATION_KEYS = {
  load_in_4bit: {
    schema: { type: "boolean", default: false },
    doc: "With use_peft (QLoRA): hold the linears of all blocks in 4 bits, quantised one after another while the model is loaded. Embedding, head and norms stay in dtype. A model that bitsandbytes saved in 4 bits is held so without it.",
    source: "transformers, TRL",
  },
  load_in_8bit: {
    schema: { type: "boolean", default: false },
    doc: "The same in 8 bits, row by row, as LLM.int8 holds weights; activations keep their type.",
    source: "transformers, TRL",
  },
  bnb_4bit_quant_type: {
    schema: { enum: ["nf4", "fp4"], default: "nf4" },
    doc: "With load_in_4bit: the sixteen numbers that a block of 64 weights is made of: quantiles of the normal distribution, or floats of 4 bits.",
    source: "TRL; transformers has fp4",
  },
  bnb_4bit_use_double_quant: {
    schema: { type: "boolean", default: false },
    doc: "With load_in_4bit: hold the largest values of blocks in 8 bits as well: 0.516 bytes a weight in place of 0.5625.",
    source: "transformers; TRL calls it use_bnb_nested_quant",
  },
  llm_int8_skip_modules: {
    schema: {
      anyOf: [
        { type: "array", items: { type: "string", pattern: "^[\\w.]+$" }, minItems: 1 },
        { type: "null" },
      ],
      default: null,
    },
    expected: "a list of module names",
    doc: "Linears that load_in_4bit and load_in_8bit leave in dtype, by path, beginning of a path or last letters of one, such as down_proj or model.layers.0. The head always does.",
    source: "transformers; a list there takes the place of the head",
  },
} as const;

/** Keys of LoRA. */
export const LORA_KEYS = {
  use_peft: {
    schema: { type: "boolean", default: false },
    doc: "Train a LoRA adapter (PEFT format) instead of all weights.",
    source: "TRL",
  },
  lora_r: {
    schema: { type: "integer", minimum: 1, default: 16 },
    doc: "Rank of the adapter matrices.",
    source: "TRL",
  },
  lora_alpha: {
    schema: { type: "number", exclusiveMinimum: 0, default: 32 },
    doc: "Scale of the adapter: its output is multiplied by lora_alpha / lora_r.",
    source: "TRL",
  },
  lora_dropout: {
    schema: { type: ["number", "null"], minimum: 0, exclusiveMaximum: 1 },
    rule: "0.05; with adapter_name_or_path the adapter's own (null)",
    doc: "Fraction of the adapter's inputs that are zeroed in training.",
    source: "TRL, whose trainers of pairs, labelled answers and rewards switch it off (disable_dropout)",
  },
  lora_target_modules: {
    schema: {
      anyOf: [
        { enum: ["all-linear"] },
        { type: "array", items: { type: "string", minLength: 1 }, minItems: 1 },
      ],
      default: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    },
    expected: 'a list of layer names, or "all-linear"',
    doc: "Layers that get an adapter, by the last part of their name. In a model that stores several of the default's in one matrix it stands for all of a block's.",
    source: "SLIME paper: all seven linear layers of a block",
  },
  lora_modules_to_save: {
    schema: { type: "array", items: { type: "string", minLength: 1 }, default: [] },
    expected: "a list of module names",
    doc: "Modules trained in full and saved with the adapter, such as lm_head. A tied head is untied, a linear's bias is trained with its weight.",
    source: "TRL",
  },
  use_rslora: {
    schema: { type: "boolean", default: false },
    doc: "Scale by lora_alpha / sqrt(lora_r) (rank-stabilised LoRA).",
    source: "TRL",
  },
  use_dora: {
    schema: { type: "boolean", default: false },
    doc: "Learn magnitude and direction of the weights separately (DoRA).",
    source: "TRL",
  },
  adapter_name_or_path: {
    schema: { type: ["string", "null"], pattern: "\\S", default: null },
    expected: "an adapter directory or hub id",
    doc: "A PEFT adapter to start from; its rank, scale, targets and kind are taken from its own file, and its dropout where lora_dropout is not given.",
    source: "LLaMA-Factory name",
  },
} as const;
