/** Post-processors of tokenizer.json: the special tokens that are set around a text. */
import { isRecord } from "../../base/is-record.ts";
import type { JsonObject } from "../tokenizer-files.ts";
import { partsOf, UnsupportedPart, unknownPart } from "./tokenizer-parts.ts";

/** Sets special tokens around the ids of a text. */
export type PostProcess = (ids: readonly number[]) => number[];

/** The function of a post-processor. @throws UnsupportedPart for an unknown kind */
export function makePostProcessor(part: JsonObject | null): PostProcess {
  const parts = part === null ? [] : partsInside(part);
  const steps = parts.map(stepOf);
  requireTemplateLast(parts.map(({ type }) => type));
  return (ids) => steps.reduce((changed, step) => step(changed), [...ids]);
}

/** A part, or the parts of a sequence and of those inside it. */
function partsInside(part: JsonObject): JsonObject[] {
  return part["type"] === "Sequence" ? partsOf(part, "processors").flatMap(partsInside) : [part];
}

/** The library sets what comes behind a template around each of its special tokens too. */
function requireTemplateLast(types: readonly unknown[]): void {
  const at = types.indexOf("TemplateProcessing");
  const behind = at === -1 ? undefined : types.slice(at + 1).find((type) => type !== "ByteLevel");
  if (behind !== undefined)
    throw new UnsupportedPart(
      `the post-processor ${String(behind)} behind TemplateProcessing is not supported`,
    );
}

function stepOf(part: JsonObject): (ids: number[]) => number[] {
  switch (part["type"]) {
    case "ByteLevel":
      // Only offsets in the text are changed by it.
      return (ids) => ids;
    case "BertProcessing":
    case "RobertaProcessing": {
      const [before, after] = [pairId(part, "cls"), pairId(part, "sep")];
      return (ids) => [before, ...ids, after];
    }
    case "TemplateProcessing":
      return template(part);
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

function template(part: JsonObject): (ids: number[]) => number[] {
  const special = isRecord(part["special_tokens"]) ? part["special_tokens"] : {};
  const single = partsOf(part, "single");
  const sequences = single.flatMap(({ Sequence: each }) => (isRecord(each) ? [each["id"]] : []));
  if (sequences.length !== 1 || sequences[0] !== "A")
    throw new UnsupportedPart("TemplateProcessing has not the sequence A once in its single");
  const steps = single.map(({ SpecialToken: token, Sequence: sequence }): number[] | null => {
    if (isRecord(sequence)) return null;
    const named = isRecord(token) ? special[String(token["id"])] : undefined;
    const ids: unknown = isRecord(named) ? named["ids"] : undefined;
    if (Array.isArray(ids) && ids.every((id) => typeof id === "number")) return ids;
    throw new UnsupportedPart("TemplateProcessing names a special token that its special_tokens lack");
  });
  return (ids) => ([] as number[]).concat(...steps.map((step) => step ?? ids));
}
