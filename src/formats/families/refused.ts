/** Models that people bring and that cannot be computed here: what is missing, and what to take in their place. */

/** What a `model_type` would need, by its name; the reasons in full are in docs/decisions/0060-families-left-out.md. */
export const refusedTypes: Readonly<Record<string, string>> = {
  gemma3n: "keys and values of other layers and embeddings for each layer. Take a Gemma 3 checkpoint",
  gpt_oss: "layers of experts and attention sinks. Take a dense model",
  llama4: "layers of experts. Take a Llama 3 checkpoint",
  llama4_text: "layers of experts. Take a Llama 3 checkpoint",
  ministral: "windows by layer under this name. Take a Mistral 7B or Nemo checkpoint",
  ministral3: "queries scaled by their positions. Take a Mistral 7B or Nemo checkpoint",
  mistral4: "layers of experts and latent attention. Take a Mistral 7B or Nemo checkpoint",
  mixtral: "layers of experts. Take a Mistral 7B or Nemo checkpoint",
  olmo: "norms without weights. Take an OLMo 2 or 3 checkpoint",
  olmo_hybrid: "recurrent layers. Take an OLMo 3 checkpoint",
  phimoe: "layers of experts. Take a Phi-3 or Phi-4 checkpoint",
  phi4_multimodal: "the text part of a model with images and sound. Take a Phi-4-mini checkpoint",
  qwen2_moe: "layers of experts. Take a dense Qwen2.5 checkpoint",
  qwen3_5: "gated DeltaNet layers. Take a dense Qwen3 checkpoint",
  qwen3_5_text: "gated DeltaNet layers. Take a dense Qwen3 checkpoint",
  qwen3_moe: "layers of experts. Take a dense Qwen3 checkpoint",
  qwen3_next: "gated DeltaNet layers and layers of experts. Take a dense Qwen3 checkpoint",
  qwen2_vl: "its text part under this name. Take a Qwen2.5-VL checkpoint",
  qwen3_vl: "outputs of the vision part in several layers. Take a Qwen3 text checkpoint",
  bamba: "Mamba layers. Take a dense model",
  granitemoe: "layers of experts. Take a Granite 3 or a dense Granite 4 checkpoint",
  granitemoeshared: "layers of experts. Take a Granite 3 or a dense Granite 4 checkpoint",
};
