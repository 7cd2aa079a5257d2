/** Under which names a checkpoint stores the tensors of its text model, and what else it holds. */
import { FormatError } from "../base/errors.ts";
import { warn } from "../base/warn.ts";
import type { ModelConfig } from "./model-config.ts";
import type { WeightIndex } from "./weight-index.ts";

/** Name of the output head's matrix in a text-only checkpoint. */
export const headName = "lm_head.weight";
/** Name of a reward model's score layer, (1, D). */
export const scoreName = "score.weight";
/** Name of the embedding's matrix in a text-only checkpoint. */
export const embeddingName = "model.embed_tokens.weight";

const textPrefixes = ["model.language_model.", "language_model.model.", "language_model."];
const otherParts = [
  "vision_tower.",
  "audio_tower.",
  "embed_vision.",
  "embed_audio.",
  "multi_modal_projector.",
  "visual.",
].flatMap((part) => [part, `model.${part}`]);

/**
 * Checkpoint names of the text model's tensors, by the name that a text-only checkpoint gives them. Tensors that are
 * neither text nor a known part of a multimodal model are listed under their own names.
 *
 * @throws {FormatError} if two tensors stand for the same one
 */
export function textNames(dir: string, index: WeightIndex, config: ModelConfig): Map<string, string> {
  const names = new Map<string, string>();
  let passedOver = 0;
  for (const stored of index.tensors.keys()) {
    if (config.isMultimodalText && isOtherPart(stored)) {
      passedOver++;
      continue;
    }
    const name = config.isMultimodalText ? textName(stored) : stored;
    const other = names.get(name);
    if (other !== undefined) {
      throw new FormatError(
        `${dir}: tensors "${other}" and "${stored}" are both the text model's ${name}; expected it once. ` +
          "Download or export the model again.",
      );
    }
    names.set(name, stored);
  }
  if (passedOver > 0) {
    warn(
      `${dir}: the text part of a multimodal model is used; ${passedOver} tensors of its other parts are passed over.`,
    );
  }
  return names;
}

/** Whether a tensor's or module's name is that of a part of a multimodal model which is not text. */
export function isOtherPart(name: string): boolean {
  return otherParts.some((part) => name.startsWith(part) || `${name}.` === part);
}

/** A tensor's or module's place in a multimodal checkpoint as a text-only one has it; other places stay as they are. */
export function textName(stored: string): string {
  if (stored.startsWith("language_model.lm_head")) return stored.slice("language_model.".length);
  const prefix = textPrefixes.find((p) => stored.startsWith(p));
  return prefix === undefined ? stored : `model.${stored.slice(prefix.length)}`;
}

/** The path that transformers gives a text model's module in the class of a multimodal model. */
export function multimodalPath(path: string): string {
  return path.startsWith("model.") ? `model.language_model.${path.slice("model.".length)}` : path;
}
