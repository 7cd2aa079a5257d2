/** Kinds of adapters that must be refused. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, FileError, FormatError } from "../../src/base/errors.ts";
import { type TensorSource, writeSafetensors } from "../../src/formats/safetensors-write.ts";
import { type BadInput, configOf, type Place, pickle, rewriteWeights, setJson } from "./bad-input.ts";

/** An adapter directory for the tiny model's first block, with changed settings and tensors. */
function adapter(
  place: Place,
  settings: Record<string, unknown>,
  rank = 4,
): { adapter_name_or_path: string; use_peft: true } {
  const dir = place.path("adapter");
  mkdirSync(dir);
  const own = {
    peft_type: "LORA",
    r: 4,
    lora_alpha: 8,
    lora_dropout: 0,
    target_modules: ["q_proj"],
    bias: "none",
    task_type: "CAUSAL_LM",
  };
  writeFileSync(join(dir, "adapter_config.json"), JSON.stringify({ ...own, ...settings }));
  const at = (layer: number) => `base_model.model.model.layers.${layer}.self_attn.q_proj`;
  const zeros = (name: string, shape: [number, number]): TensorSource => ({
    name,
    dtype: "F32",
    shape,
    bytes: () => new Uint8Array(4 * shape[0] * shape[1]),
  });
  writeSafetensors(
    join(dir, "adapter_model.safetensors"),
    [0, 1].flatMap((layer) => [
      zeros(`${at(layer)}.lora_A.weight`, [rank, 16]),
      zeros(`${at(layer)}.lora_B.weight`, [32, rank]),
    ]),
  );
  return { adapter_name_or_path: dir, use_peft: true };
}

/** Adapters to continue from. */
export const badAdapters: BadInput[] = [
  {
    kind: "adapter directory missing",
    spoil: (place) => ({ use_peft: true, adapter_name_or_path: place.path("no-adapter") }),
    error: FileError,
    says: [/no-adapter/],
  },
  {
    kind: "adapter of another PEFT kind",
    spoil: (place) => adapter(place, { peft_type: "PREFIX_TUNING" }),
    error: FormatError,
    says: [/adapter_config\.json/, /PREFIX_TUNING/, /LORA/],
  },
  {
    kind: "adapter of another shape",
    spoil: (place) => adapter(place, {}, 2),
    error: FormatError,
    says: [/adapter_model\.safetensors/, /lora_A/],
  },
  {
    kind: "adapter for layers the model lacks",
    spoil: (place) => {
      setJson(configOf(place), { num_hidden_layers: 1 });
      rewriteWeights(place, (all) => all.filter(({ name }) => !name.includes("layers.1.")));
      return adapter(place, {});
    },
    error: ConfigError,
    says: [/layers\.1/, /made for another model/],
  },
  {
    kind: "adapter as a pickle",
    spoil: (place) => {
      const values = adapter(place, {});
      const file = join(values.adapter_name_or_path, "adapter_model.safetensors");
      rmSync(file);
      writeFileSync(file.replace(".safetensors", ".bin"), pickle);
      return values;
    },
    error: FormatError,
    says: [/adapter_model\.bin/, /pickle/i],
  },
  {
    kind: "adapter trained with bias",
    spoil: (place) => adapter(place, { bias: "all" }),
    error: FormatError,
    says: [/bias/],
  },
  {
    kind: "LoRA on no layer of the model",
    spoil: () => ({ use_peft: true, lora_target_modules: ["c_attn"] }),
    error: ConfigError,
    says: [/lora_target_modules/, /q_proj/],
  },
  {
    kind: "LoRA on the head",
    spoil: () => ({ use_peft: true, lora_target_modules: ["lm_head"] }),
    error: ConfigError,
    says: [/lm_head/, /lora_modules_to_save/],
  },
  {
    kind: "a module to save that does not exist",
    spoil: () => ({ use_peft: true, lora_modules_to_save: ["head"] }),
    error: ConfigError,
    says: [/"head"/, /lm_head/],
  },
];
