/** Options of other trainers about several GPUs, with their reason and what to write instead (a table). */

const layout = "write `shard: auto | none | node | all`";
const launched = "the launcher says it (torchrun, srun, mpirun); leave it out";
const gathered = "write `keep_gathered: auto | true | false`";
const perBlock = "a model is always shared block by block; leave it out";
const offloading =
  "weights and optimiser stay on the GPUs: plan for more of them (`preftune plan --count N`), or train with LoRA";
const stateDict =
  "each rank writes its part of a checkpoint, and exports are in the usual format; leave it out";
const noTensor =
  "layers are not cut across GPUs: `shard: all` trains 70B at 42.6 % of the peak without (docs/distributed.md). Leave it out";
const noContext =
  "rows are not cut across GPUs: 8,192 tokens and more fit on one (docs/distributed.md). Leave it out, and see `gradient_checkpointing`";
const noPipeline = "blocks are not spread over GPUs: `shard: all` holds as little on each. Leave it out";
const noReduction = "the loss of a step is normalised by the totals of all ranks; leave it out";
const anyOrder = "ranks synchronise by themselves; leave it out";

/** One advice for several names. */
function alike(advice: string, ...names: string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, advice]));
}

/** What to do in place of each key. */
export const PARALLEL_NAMES: Readonly<Record<string, string>> = {
  // transformers and TRL
  ...alike(layout, "fsdp", "fsdp_config", "deepspeed", "parallelism_config"),
  ...alike(perBlock, "fsdp_min_num_params", "fsdp_transformer_layer_cls_to_wrap"),
  ...alike(launched, "local_rank", "ddp_backend"),
  ddp_timeout: "write `rank_timeout`: seconds without a sign of life",
  ...alike(anyOrder, "ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers"),
  accelerator_config: "rows go to ranks by their length, each exactly once; leave it out",
  ...alike(
    "rows go to ranks by their length, each exactly once; leave it out",
    "split_batches",
    "dispatch_batches",
  ),
  average_tokens_across_devices: noReduction,
  // Accelerate
  ...alike(launched, "distributed_type", "num_processes", "num_machines", "machine_rank"),
  ...alike(launched, "main_process_ip", "main_process_port", "rdzv_backend"),
  mixed_precision: "write `dtype: bfloat16`",
  ...alike(layout, "fsdp_version", "fsdp_sharding_strategy"),
  ...alike(gathered, "fsdp_reshard_after_forward"),
  ...alike(perBlock, "fsdp_auto_wrap_policy", "fsdp_use_orig_params"),
  ...alike(anyOrder, "fsdp_backward_prefetch", "fsdp_forward_prefetch", "fsdp_sync_module_states"),
  ...alike(offloading, "fsdp_offload_params", "fsdp_cpu_offload"),
  fsdp_state_dict_type: stateDict,
  fsdp_cpu_ram_efficient_loading: "each rank reads its own part of the weights; leave it out",
  fsdp_activation_checkpointing: "write `gradient_checkpointing: true`",
  ...alike(layout, "deepspeed_config", "deepspeed_config_file", "zero_stage", "zero_optimization"),
  ...alike(offloading, "offload_optimizer_device", "offload_param_device", "adam_offload"),
  ...alike(stateDict, "zero3_init_flag", "zero3_save_16bit_model"),
  // sizes of groups: Accelerate, axolotl, torchtune, torchtitan, OpenRLHF, Megatron, verl
  ...alike(layout, "dp_shard_size", "dp_replicate_size", "data_parallel_size"),
  ...alike(layout, "parallelism_config_dp_shard_size", "parallelism_config_dp_replicate_size"),
  ...alike(layout, "data_parallel_shard_degree", "data_parallel_replicate_degree"),
  ...alike(layout, "data_parallel_shard_dim", "data_parallel_replicate_dim", "use_distributed_optimizer"),
  ...alike(noTensor, "tp_size", "tensor_parallel_size", "tensor_parallel_degree", "tensor_parallel_dim"),
  ...alike(noTensor, "tensor_model_parallel_size", "parallelism_config_tp_size", "ds_tensor_parallel_size"),
  ...alike(noContext, "cp_size", "context_parallel_size", "context_parallel_degree", "context_parallel_dim"),
  ...alike(noContext, "parallelism_config_cp_size", "sequence_parallel", "sequence_parallel_size"),
  ...alike(noContext, "sequence_parallel_degree", "ulysses_sequence_parallel_size", "ring_attn_size"),
  ...alike(noContext, "ring_attn_func", "heads_k_stride"),
  ...alike(noPipeline, "pp_size", "pipeline_parallel_size", "pipeline_parallel_degree"),
  ...alike(noPipeline, "pipeline_model_parallel_size"),
  ...alike(
    "experts are not offered: models here are dense",
    "expert_parallel_size",
    "expert_model_parallel_size",
  ),
  // sizes of batches: DeepSpeed, axolotl, Megatron, verl
  ...alike("write `per_device_train_batch_size`", "train_micro_batch_size_per_gpu", "micro_batch_size"),
  global_batch_size: "write `train_batch_size`: rows of a step on all ranks",
};
