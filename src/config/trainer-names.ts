/** The other options of TRL's, transformers' and PEFT's classes that are no key here, each with a reason (a table). */

/** One advice for several names, written with spaces between. */
export function alike(advice: string, names: string): Record<string, string> {
  return Object.fromEntries(names.split(" ").map((name) => [name, advice]));
}

const own = "completions are sampled by the run's own engine, which takes no such setting; leave it out";
const noAdaptiveEntropy = "the weight of the entropy stays as it is given: write `entropy_coef`";
const noUpload = "training uploads nothing; leave it out, and run `preftune push RUN owner/name` afterwards";

/** What to do in place of each key. */
export const TRAINER_NAMES: Readonly<Record<string, string>> = {
  // transformers' TrainingArguments
  ...alike("`preftune train` trains, and evaluates where held-out rows are given; leave it out", "do_train"),
  ...alike("held-out rows are evaluated where eval_data or eval_fraction is given; leave it out", "do_eval"),
  ...alike("nothing is predicted in training: `preftune score` scores rows; leave it out", "do_predict"),
  auto_find_batch_size:
    "`preftune plan` says before the start what fits; `max_tokens_per_micro_batch` bounds a micro-batch",
  activation_checkpointing: "write `gradient_checkpointing`",
  activation_checkpointing_kwargs: "write `gradient_checkpointing: true`",
  use_cpu: "write `device: cpu`",
  ...alike("evaluations compute in `dtype`, as training does; leave it out", "bf16_full_eval fp16_full_eval"),
  tf32: "float32 products are never rounded to TF32; leave it out, or write `dtype: bfloat16`",
  full_determinism: "one seed gives one run, bit for bit; leave it out",
  lr_scheduler_kwargs: "the schedules of `lr_scheduler_type` take no settings; leave it out",
  logging_strategy: "rows come every `logging_steps`; leave it out",
  logging_nan_inf_filter:
    "a step with a loss that is not finite is skipped and reported (`max_nonfinite_steps`); leave it out",
  ...alike(
    "what is said does not depend on it; leave it out",
    "log_level log_level_replica log_on_each_node disable_tqdm debug skip_memory_metrics",
  ),
  ...alike(
    "evaluations keep sums and no logits; leave it out",
    "eval_accumulation_steps eval_do_concat_batches eval_use_gather_object batch_eval_metrics include_for_metrics " +
      "prediction_loss_only label_names",
  ),
  include_num_input_tokens_seen: "tokens are counted in metrics.jsonl; leave it out",
  ...alike("checkpoints are complete, so that a run can be resumed; leave it out", "save_only_model"),
  ...alike("a run has one directory; leave it out", "save_on_each_node"),
  enable_jit_checkpoint: "a stop by signal writes a checkpoint in any case; leave it out",
  restore_callback_states_from_checkpoint: "a resumed run has all that the checkpoint holds; leave it out",
  ignore_data_skip: "a resumed run continues with the rows that are left; leave it out",
  ...alike(
    "rows are read and tokenised before the first step, and packed in the process that trains; leave it out",
    "dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor " +
      "dataloader_in_order dataloader_multiprocessing_context dataset_num_proc",
  ),
  ...alike("nothing is compiled; leave it out", "torch_compile torch_compile_backend torch_compile_mode"),
  ...alike("memory is freed at the end of each step; leave it out", "torch_empty_cache_steps use_cache"),
  liger_kernel_config: "the head is always computed in chunks; see `logits_chunk_size`",
  ...alike("ranks synchronise by themselves; leave it out", "ddp_static_graph ignore_bias_buffers"),
  ...alike(noUpload, "hub_model_id hub_token hub_private_repo hub_always_push hub_revision"),
  ...alike(
    "trackio is reached at TRACKIO_SERVER_URL (docs/trackers.md); leave it out",
    "trackio_space_id trackio_bucket_id trackio_static_space_id",
  ),
  // TRL, all trainers
  ...alike("give what it holds by keys: `dtype`, `load_in_4bit`, `device`", "model_init_kwargs"),
  ...alike("models here are dense; leave it out", "router_aux_loss_coef"),
  ...alike(
    "nothing is padded here; leave it out",
    "pad_to_multiple_of padding_value pad_token label_pad_token_id",
  ),
  ...alike("batches are always packed here; leave it out", "packing_strategy eval_packing"),
  ...alike("the tokenizer's own end token and the chat template's are taken; leave it out", "eos_token"),
  chat_template_path: "write `chat_template`",
  chat_template_kwargs: "of a template's switches there is one: write `enable_thinking`",
  dataset_text_field: "write `columns: {text: …}`",
  ...alike(
    "rows are read as docs/data.md says, all before the first step; leave it out",
    "dataset_kwargs dataset_streaming",
  ),
  // TRL's trainers on pairs and labelled answers
  precompute_ref_batch_size:
    "the reference takes the batches of an evaluation: write `per_device_eval_batch_size`",
  f_alpha_divergence_coef: "only the reverse KL is offered, TRL's default; leave it out",
  ...alike(
    "the reference is the model as the run begins, with the adapter that it begins from; leave it out",
    "ref_model_init_kwargs force_use_ref_model model_adapter_name ref_adapter_name",
  ),
  alpha: "AlphaPO is not offered; LoRA's is `lora_alpha`",
  is_encoder_decoder: "models here are decoders; leave it out",
  generate_during_eval: "evaluations answer `watch_prompts`",
  max_target_length: "only prompt + answer is limited: write `max_length` and `overflow`",
  // TRL's trainers on own answers
  max_new_tokens: "write `max_completion_length`",
  reward_model_path: "write `reward_model`",
  generation_kwargs: "write `temperature`, `top_p`, `top_k`, `min_p`, `repetition_penalty`",
  ...alike(
    own,
    "cache_implementation use_transformers_paged use_transformers_continuous_batching " +
      "transformers_continuous_batching_config ds3_gather_for_generation vllm_enable_sleep_mode " +
      "vllm_gpu_memory_utilization vllm_group_port vllm_max_model_length vllm_model_impl vllm_server_base_url " +
      "vllm_server_host vllm_server_port vllm_server_timeout vllm_structured_outputs_regex vllm_tensor_parallel_size",
  ),
  ...alike(
    "rollouts are sampled in a process of the run itself (`max_staleness`); leave it out",
    "fork_threshold_tokens heartbeat_stale_after_s queue_maxsize request_timeout token_budget weight_sync_steps " +
      "weight_sync_timeout",
  ),
  ...alike("the model calls no tools while it samples; leave it out", "max_tool_calling_iterations"),
  cast_lm_head_to_fp32: "the head is computed in `dtype`: write `dtype: float32` for all of the model",
  multi_objective_aggregation:
    "rewards are added up by `reward_weights` and normalised then, TRL's default; leave it out",
  ...alike(noAdaptiveEntropy, "entropy_coef_min entropy_coef_max entropy_coef_delta entropy_target"),
  ...alike(
    "vespo is not offered: see `loss_type`",
    "vespo_k_pos vespo_k_neg vespo_lambda_pos vespo_lambda_neg",
  ),
  ...alike(
    "`log_completions: true` prints some of a step's completions; leave it out",
    "num_completions_to_print log_unique_prompts log_completions_hub_repo log_multimodal",
  ),
  // PEFT's LoraConfig
  ...alike("write `model_name_or_path`", "base_model_name_or_path"),
  revision: "write `model_name_or_path: owner/name@revision`",
  ...alike("adapters are written as PEFT reads them; leave it out", "peft_type peft_version auto_mapping"),
  task_type: "leave it out; adapters are written as CAUSAL_LM, of reward models as SEQ_CLS",
  inference_mode: "an adapter of a run is trained; leave it out",
  fan_in_fan_out: "models here store no weight transposed; leave it out",
  ...alike(
    "name the linears that get an adapter, by full paths where layers differ: `lora_target_modules: [layers.0.self_attn.q_proj, …]`",
    "exclude_modules layers_to_transform layers_pattern",
  ),
  alpha_pattern:
    "one scale is for all modules: write `lora_alpha`; an adapter that has a pattern is trained further with `adapter_name_or_path`",
  ...alike("biases are not trained beside an adapter, PEFT's default; leave it out", "bias lora_bias"),
  trainable_token_indices:
    "the embedding is trained whole or not at all: write `lora_modules_to_save: [embed_tokens]`",
  ensure_weight_tying:
    "a module that is tied and trained in full gets a separate weight (`lora_modules_to_save`); leave it out",
  ...alike(
    "models here have linears and no parameters beside: write `lora_target_modules`",
    "target_parameters lora_target_parameters",
  ),
  layer_replication: "layers are trained as the model has them; leave it out",
  ...alike(
    "of LoRA's kinds there are the plain one, `use_rslora` and `use_dora`; leave it out",
    "use_qalora qalora_group_size use_bdlora alora_invocation_tokens loftq_config eva_config corda_config lora_ga_config " +
      "velora_config kasa_config monteclora_config arrow_config",
  ),
  ...alike("leave it out", "megatron_config megatron_core runtime_config"),
};
