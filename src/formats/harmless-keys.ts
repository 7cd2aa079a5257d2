/**
 * Keys that a `config.json` of any family may have and that mean nothing to what the text model computes: notes of the program that
 * wrote it, settings of loading, caches and generation, and what transformers 4 wrote of every model's class.
 */
export const harmlessKeys: readonly string[] = [
  ..."_attn_implementation _attn_implementation_autoset _commit_hash _name_or_path architectures attn_implementation".split(
    " ",
  ),
  ..."auto_map cache_implementation dtype initializer_range model_type torch_dtype transformers_version".split(
    " ",
  ),
  ..."unsloth_fixed unsloth_version transformers.js_config use_cache finetuning_task id2label label2id num_labels problem_type".split(
    " ",
  ),
  ..."task_specific_params tokenizer_class prefix sep_token_id decoder_start_token_id bos_token_id eos_token_id".split(
    " ",
  ),
  ..."pad_token_id tie_word_embeddings return_dict output_hidden_states output_attentions torchscript".split(
    " ",
  ),
  ..."tf_legacy_loss use_bfloat16 pruned_heads is_decoder is_encoder_decoder cross_attention_hidden_size".split(
    " ",
  ),
  ..."add_cross_attention tie_encoder_decoder chunk_size_feed_forward max_length min_length do_sample".split(
    " ",
  ),
  ..."early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p typical_p".split(
    " ",
  ),
  ..."repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids".split(
    " ",
  ),
  ..."num_return_sequences output_scores return_dict_in_generate forced_bos_token_id forced_eos_token_id".split(
    " ",
  ),
  ..."remove_invalid_values exponential_decay_length_penalty suppress_tokens begin_suppress_tokens".split(
    " ",
  ),
];
