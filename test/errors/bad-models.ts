/** Kinds of model directories that must be refused for their configuration, tokenizer or chat template. */
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FileError } from "../../src/base/errors.ts";
import { type BadInput, badModel, configOf, setJson } from "./bad-input.ts";

/** Model directories. */
export const badModels: BadInput[] = [
  {
    kind: "model directory missing",
    spoil: (place) => ({ model_name_or_path: place.path("nowhere") }),
    error: FileError,
    says: [/nowhere/, /Check/],
  },
  {
    ...badModel("config.json missing", (place) => rmSync(configOf(place)), [/config\.json/, /Check/]),
    error: FileError,
  },
  badModel("config.json is no JSON", (place) => writeFileSync(configOf(place), '{"model_type": '), [
    /config\.json:1:/,
    /expected JSON/,
  ]),
  badModel("unknown architecture", (place) => setJson(configOf(place), { model_type: "mamba" }), [
    /mamba/,
    /llama/,
  ]),
  badModel(
    "quantised weights",
    (place) => setJson(configOf(place), { quantization_config: { quant_method: "gptq" } }),
    [/quant_method/, /bitsandbytes/, /gptq/, /float checkpoint/],
  ),
  badModel("unknown activation", (place) => setJson(configOf(place), { hidden_act: "relu" }), [
    /hidden_act/,
    /relu/,
    /silu/,
  ]),
  badModel("heads that do not divide", (place) => setJson(configOf(place), { num_key_value_heads: 3 }), [
    /num_key_value_heads/,
  ]),
  badModel("config of another size", (place) => setJson(configOf(place), { intermediate_size: 32 }), [
    /shape \[24,16\]/,
    /asks for \[32,16\]/,
  ]),
  badModel(
    "fewer layers than the weights have",
    (place) => setJson(configOf(place), { num_hidden_layers: 1 }),
    [/layers\.1/, /num_hidden_layers/],
  ),
  badModel(
    "more layers than the weights have",
    (place) => setJson(configOf(place), { num_hidden_layers: 3 }),
    [/layers\.2/, /missing/],
  ),
  badModel(
    "a layer count beyond all memory",
    (place) => setJson(configOf(place), { num_hidden_layers: 1e9 }),
    [/num_hidden_layers|layers\.2/],
  ),
  badModel("tokenizer.json missing", (place) => rmSync(join(place.model, "tokenizer.json")), [
    /tokenizer\.json/,
  ]),
  badModel(
    "tokenizer.json of no kind",
    (place) => writeFileSync(join(place.model, "tokenizer.json"), '{"model":{"type":"Magic"}}'),
    [/tokenizer\.json/],
  ),
  badModel("truncated tokenizer.json", (place) => truncateSync(join(place.model, "tokenizer.json"), 1000), [
    /tokenizer\.json/,
  ]),
  badModel(
    "an end token that is not in the vocabulary",
    (place) => setJson(join(place.model, "tokenizer_config.json"), { eos_token: "<|nope|>" }),
    [/eos_token "<\|nope\|>"/],
  ),
  badModel(
    "a chat template with an error",
    (place) =>
      setJson(join(place.model, "tokenizer_config.json"), { chat_template: "{% for m in messages %}" }),
    [/template/],
  ),
];

/** Chat templates that would hang or fill the memory of whoever renders them. */
export const hostileTemplates: BadInput[] = [
  badModel(
    "a chat template without end",
    (place) =>
      setJson(join(place.model, "tokenizer_config.json"), {
        chat_template: "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
      }),
    [/template/i],
  ),
  badModel(
    "a chat template that fills the memory",
    (place) =>
      setJson(join(place.model, "tokenizer_config.json"), {
        chat_template:
          "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
      }),
    [/template/i],
  ),
];
