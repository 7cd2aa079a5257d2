/** Multimodal checkpoints around the texts of `test/fixtures`, laid out as transformers does (test/goldens/multimodal.json). */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseSpelt } from "../../src/formats/json-spelt.ts";
import { readSafetensorsHeader, readTensorBytes } from "../../src/formats/safetensors.ts";
import { type TensorSource, writeSafetensors } from "../../src/formats/safetensors-write.ts";
import { type FixtureFamily, fixturePath } from "./fixture-files.ts";
import { golden } from "./goldens.ts";

/** The classes, by `model_type`. */
export const multimodalNames = ["gemma3", "gemma4", "mistral3", "qwen2_5_vl"] as const;

/** One of them. */
export type MultimodalName = (typeof multimodalNames)[number];

interface Layout {
  fixture: FixtureFamily;
  /** config.json as text, for the spelling of its numbers. */
  config: string;
  text_prefix: string;
  head: string | null;
  tensors: Record<string, number[]>;
}

/** How transformers writes them: without the text. */
export function multimodalLayout(name: MultimodalName): Layout {
  return golden<Record<MultimodalName, Layout>>("multimodal")[name];
}

/**
 * `config.json`, as on the hub: Qwen2.5-VL has the text's keys at the top. Whether head and embedding are one matrix is said beside the
 * text's keys alone, as transformers 4 wrote it: what 5 writes at the top goes before it.
 */
export function multimodalConfig(name: MultimodalName): Record<string, unknown> {
  const { fixture, config } = multimodalLayout(name);
  const path = fixturePath(fixture, "model", "config.json");
  const { architectures: _, ...text } = parseSpelt(readFileSync(path, "utf8")) as Record<string, unknown>;
  const { tie_word_embeddings: __, ...others } = parseSpelt(config) as Record<string, unknown>;
  if (name !== "qwen2_5_vl") return { ...others, text_config: text };
  return { ...text, ...others, rope_scaling: { type: "mrope", mrope_section: [4, 2, 2] } };
}

/** Tensors beside the text's, in bfloat16 whatever the text is in. */
export function otherTensors(name: MultimodalName): TensorSource[] {
  return Object.entries(multimodalLayout(name).tensors).map(([tensor, shape]) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const values = Float32Array.from({ length: count }, (_, i) => 0.1 * Math.sin(i + tensor.length));
    const halves = new Uint16Array(values.buffer).filter((_, i) => i % 2 === 1);
    return { name: tensor, dtype: "BF16", shape, bytes: () => new Uint8Array(halves.buffer) };
  });
}

/** Writes config and weights into a new directory, and gives its path. */
export function writeMultimodal(dir: string, name: MultimodalName): string {
  const { fixture, text_prefix: prefix } = multimodalLayout(name);
  const file = readSafetensorsHeader(fixturePath(fixture, "model", "model.safetensors"));
  const beforeHead = prefix === "language_model.model." ? "language_model." : "";
  const placed = (tensor: string) =>
    tensor === "lm_head.weight" ? beforeHead + tensor : tensor.replace(/^model\./, prefix);
  const text = [...file.tensors.values()].map((entry): TensorSource => {
    const { dtype, shape } = entry;
    return { name: placed(entry.name), dtype, shape, bytes: () => readTensorBytes(file, entry) };
  });
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "config.json"), JSON.stringify(multimodalConfig(name)));
  writeSafetensors(join(dir, "model.safetensors"), [...text, ...otherTensors(name)]);
  return dir;
}
