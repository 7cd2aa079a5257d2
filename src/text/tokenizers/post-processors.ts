/** Post-processors of tokenizer.json: the special tokens that are set around a text. */
import { isJsonObject, type JsonObject } from "../tokenizer-files.ts";
import { inOrder } from "./limits.ts";
import { partsOf, UnsupportedPart, unknownPart } from "./tokenizer-parts.ts";

/** Sets special tokens around the ids of a text. */
export type PostProcess = (ids: readonly number[]) => number[];

/** The function of a post-processor. @throws UnsupportedPart for an unknown kind */
export function makePostProcessor(part: JsonObject | null): PostProcess {
  if (part === null) return (ids) => [...ids];
  switch (part["type"]) {
    case "ByteLevel":
      // Only offsets in the text are changed by it.
      return (ids) => [...ids];
    case "BertProcessing":
    case "RobertaProcessing": {
      const [before, after] = [pairId(part, "cls"), pairId(part, "sep")];
      return (ids) => [before, ...ids, after];
    }
    case "TemplateProcessing":
      return template(part);
    case "Sequence": {
      const steps = partsOf(part, "processors").map(makePostProcessor);
      return (ids) => inOrder([...ids], steps, ({ length }) => length);
    }
    default:
      throw unknownPart("post-processor", part);
  }
}

function pairId(part: JsonObject, key: string): number {
  const pair = part[key];
  const id: unknown = Array.isArray(pair) ? pair[1] : undefined;
  if (typeof id === "number") return id;
  throw new UnsupportedPart(`${String(part["type"])} has no pair "${key}"`);
}

function template(part: JsonObject): PostProcess {
  const special = isJsonObject(part["special_tokens"]) ? part["special_tokens"] : {};
  const steps = partsOf(part, "single").map(
    ({ SpecialToken: token, Sequence: sequence }): number[] | null => {
      if (isJsonObject(sequence)) return null;
      const named = isJsonObject(token) ? special[String(token["id"])] : undefined;
      const ids: unknown = isJsonObject(named) ? named["ids"] : undefined;
      if (Array.isArray(ids) && ids.every((id) => typeof id === "number")) return ids;
      throw new UnsupportedPart("TemplateProcessing names a special token that its special_tokens lack");
    },
  );
  return (ids) => ([] as number[]).concat(...steps.map((step) => step ?? ids));
}
