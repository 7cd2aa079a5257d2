/** Options of LLaMA-Factory and Axolotl that are no key here and no option of TRL's, and what to write instead (a table). */
import { alike } from "./trainer-names.ts";

const rows = "write `train_data: FILE` (or a hub id, or a list): the form of its rows is recognised";
const heldOut = "write `eval_data`";
const objective =
  "write `objective`, whose names are in docs/objectives.md, and `loss_type` where it has several forms";
const lora = "write `use_peft: true` for LoRA, `use_peft: false` to train all weights";
const linears = "write `lora_target_modules: all-linear` or a list of names";
const packed = "batches are always packed here, without padding; leave it out";
const kernels = "the trainer's own kernels are always taken; leave it out";
const answers = "only answers count in the loss; see `train_on`";
const trackers = "write `report_to`, and `project` and `run_name` for names there (docs/trackers.md)";
const noPrepared = "rows are read and tokenised before the first step, in no separate cache; leave it out";

/** What to do in place of each key. */
export const YAML_TRAINER_NAMES: Readonly<Record<string, string>> = {
  // both
  ...alike(
    kernels,
    "flash_attn flash_attention xformers_attention sdp_attention eager_attention s2_attention",
  ),
  ...alike(kernels, "enable_liger_kernel lora_mlp_kernel lora_qkv_kernel lora_o_kernel plugins"),
  ...alike(packed, "neat_packing sample_packing eval_sample_packing pad_to_sequence_len"),
  ...alike(answers, "train_on_prompt train_on_inputs mask_history"),
  ...alike(noPrepared, "overwrite_cache preprocessing_num_workers tokenized_path dataset_prepared_path"),
  dpo_label_smoothing: "write `label_smoothing`",
  // LLaMA-Factory
  ...alike(objective, "stage pref_loss rl"),
  pref_ftx: "write `loss_type: [sigmoid, sft]` and `loss_weights: [1, …]` with the weight as the second",
  dataset_dir: rows,
  eval_dataset: heldOut,
  val_size: "write `eval_fraction`, a share below 1",
  max_samples: "write `max_train_rows`",
  mix_strategy: "give each source a weight: `train_data: [{path: …, weight: …}, …]`",
  cutoff_len: "write `max_length`, and `overflow: truncate` to cut longer rows",
  disable_shuffling: "write `data_order: given`",
  template: "the tokenizer's own chat template is taken: leave it out, or write `chat_template: FILE`",
  finetuning_type: lora,
  lora_rank: "write `lora_r`",
  lora_target: linears,
  additional_target: "write `lora_modules_to_save`",
  ref_model: "the reference is the model as the run begins; leave it out",
  create_new_adapter:
    "an adapter is trained further as it is: merge it first (`preftune merge`) to train a new one",
  kto_chosen_weight: "write `desirable_weight`",
  kto_rejected_weight: "write `undesirable_weight`",
  quantization_bit: "write `load_in_4bit: true` or `load_in_8bit: true`",
  quantization_type: "write `bnb_4bit_quant_type`",
  double_quantization: "write `bnb_4bit_use_double_quant`",
  disable_gradient_checkpointing: "write `gradient_checkpointing: true | false`",
  pure_bf16: "write `dtype: bfloat16`",
  overwrite_output_dir: "a directory in use is never overwritten: write another `output_dir`",
  plot_loss: "curves are in the run's report.html; leave it out",
  // Axolotl
  ...alike("write `model_name_or_path`", "base_model base_model_config"),
  ...alike("model and tokenizer are those of the files; leave it out", "model_type tokenizer_type"),
  rl_beta: "write `beta`",
  sequence_len: "write `max_length`",
  excess_length_strategy: "write `overflow: error | drop | truncate`",
  shuffle_merged_datasets: "write `data_order: shuffled` or `data_order: given`",
  test_datasets: heldOut,
  val_set_size: "write `eval_fraction`, a share below 1",
  adapter: `${lora}, and \`load_in_4bit: true\` for QLoRA`,
  lora_model_dir: "write `adapter_name_or_path`",
  lora_target_linear: linears,
  peft_use_rslora: "write `use_rslora`",
  peft_use_dora: "write `use_dora`",
  kto_desirable_weight: "write `desirable_weight`",
  kto_undesirable_weight: "write `undesirable_weight`",
  orpo_alpha: "write `beta`, with `objective: orpo`",
  dpo_use_weighting: "write `use_weighting`",
  optimizer: "write `optim`",
  lr_scheduler: "write `lr_scheduler_type`",
  num_epochs: "write `num_train_epochs`",
  evals_per_epoch: "write `eval_strategy` and `eval_steps`",
  saves_per_epoch: "write `save_strategy` and `save_steps`",
  auto_resume_from_checkpoints: "write `resume_from_checkpoint: latest`",
  ...alike(
    trackers,
    "use_wandb use_mlflow wandb_project wandb_entity wandb_name wandb_mode mlflow_experiment_name",
  ),
  trl: "write its entries as keys: `num_generations`, `reward_funcs`, `beta` …",
  special_tokens: "the tokenizer's own are taken; leave it out",
  strict: "unknown keys are always refused; leave it out",
};
