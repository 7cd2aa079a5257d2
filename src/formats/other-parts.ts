/** What a multimodal checkpoint holds beside its text model: carried over into exports as it is. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../base/errors.ts";
import { readTextFile } from "../base/files.ts";
import { embeddingName, headName } from "./checkpoint-names.ts";
import { parseSpelt } from "./json-spelt.ts";
import { readTensorBytes } from "./safetensors.ts";
import type { TensorSource } from "./safetensors-write.ts";
import { openModel } from "./tied-head.ts";

/** The parts beside the text model, and how the checkpoint names the text model's own. */
export interface OtherParts {
  /** `config.json` of the whole; its numbers are written as they are spelt there. */
  config: Readonly<Record<string, unknown>>;
  /** Their tensors, byte for byte. */
  tensors: TensorSource[];
  /** The name that a text tensor has in this checkpoint. */
  storedName: (name: string) => string;
  /** Files beside config, weights and tokenizer that processors of images need. */
  files: string[];
}

/** Files of transformers' processors. */
export const processorFiles: ReadonlySet<string> = new Set([
  "preprocessor_config.json",
  "processor_config.json",
  "video_preprocessor_config.json",
  "chat_template.json",
]);

/**
 * The other parts of the checkpoint in `dir`; null where it is a text model alone. Their data is read when it is written.
 *
 * @throws {FormatError} for parts in few bits, which would need the settings that an export in floats does not have
 */
export function otherPartsOf(dir: string): OtherParts | null {
  const { config, index, names } = openModel(dir);
  if (!config.isMultimodalText) return null;
  const own = new Set(names.values());
  const others = [...index.tensors].filter(([name]) => !own.has(name));
  const inFewBits = others.find(([, { entry }]) => entry.dtype === "U8" || entry.dtype === "I8");
  if (inFewBits !== undefined) {
    throw new FormatError(
      `${dir}: expected floats in the parts beside the text model, which are exported as they are, got "${inFewBits[0]}" of ` +
        `${inFewBits[1].entry.dtype}. Leave them out: export_text_only: true (merge: --text-only). Or take the float checkpoint.`,
    );
  }
  const isNested = names.get(embeddingName)?.startsWith("language_model.model.") ?? false;
  const newHead = isNested ? `language_model.${headName}` : headName;
  return {
    config: parseSpelt(readTextFile(join(dir, "config.json"))) as Record<string, unknown>,
    tensors: others.map(([name, { file, entry }]) => ({
      name,
      dtype: entry.dtype,
      shape: entry.shape,
      bytes: () => readTensorBytes(file, entry),
    })),
    storedName: (name) => names.get(name) ?? (name === headName ? newHead : name),
    files: [...processorFiles].filter((name) => existsSync(join(dir, name))),
  };
}
