/**
 * Which of llama.cpp's pre-tokenizers cuts a text as a byte-level tokenizer.json does. It is told by what the file says, and not by
 * the ids of a sample text, as llama.cpp's own converter does: that knows published vocabularies only.
 */
import { FormatError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import type { JsonObject } from "../text/tokenizer-files.ts";

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const spaces = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const word = "[^\\r\\n\\p{L}\\p{N}]?";
const marks = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n";

/** Regular expressions as tokenizer.json spells them. */
const expressions = {
  gpt2: "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  llama3: `${contractions}|${word}\\p{L}+|\\p{N}{1,3}|${marks}]*|${spaces}`,
  qwen2: `${contractions}|${word}\\p{L}+|\\p{N}|${marks}]*|${spaces}`,
  o200k: `${word}${upper}*${lower}+${contractions}?|${word}${upper}+${lower}*${contractions}?|\\p{N}{1,3}|${marks}/]*|${spaces}`,
  tekken: `${word}${upper}*${lower}+|${word}${upper}+${lower}*|\\p{N}|${marks}/]*|${spaces}`,
} as const;

/** Names in llama.cpp by the steps of the file; `whole` says whether a word that is a token is taken without merges. */
const names: readonly { steps: readonly string[]; whole: boolean; name: string }[] = [
  { steps: ["words"], whole: false, name: "gpt-2" },
  { steps: [expressions.gpt2, "bytes"], whole: false, name: "gpt-2" },
  { steps: ["digits", "words"], whole: false, name: "smollm" },
  { steps: [expressions.llama3, "bytes"], whole: true, name: "llama-bpe" },
  { steps: [expressions.llama3, "bytes"], whole: false, name: "dbrx" },
  { steps: [expressions.qwen2, "bytes"], whole: false, name: "qwen2" },
  { steps: [expressions.o200k, "bytes"], whole: false, name: "gpt-4o" },
  { steps: [expressions.tekken, "bytes"], whole: true, name: "tekken" },
];

/**
 * The value of `tokenizer.ggml.pre` for a byte-level tokenizer.json.
 *
 * @param file - its path, for the message
 * @throws {FormatError} when llama.cpp has no pre-tokenizer like it: a similar one would give a model that answers almost right
 */
export function preTokenizerName(tokenizer: JsonObject, file: string): string {
  const normalizer = tokenizer["normalizer"];
  // llama.cpp normalises no text of these tokenizers; composed characters are what people and programs write
  if (normalizer !== null && normalizer !== undefined && kindOf(normalizer) !== "NFC") {
    refuse(file, `the normalizer ${JSON.stringify(normalizer)}`);
  }
  const steps = stepsOf(tokenizer["pre_tokenizer"]);
  const model = tokenizer["model"];
  const whole = isRecord(model) && model["ignore_merges"] === true;
  const found = names.find((known) => known.whole === whole && known.steps.join("\n") === steps.join("\n"));
  if (found !== undefined) return found.name;
  const merges = whole ? " with ignore_merges" : "";
  return refuse(file, `the pre-tokenizer ${JSON.stringify(tokenizer["pre_tokenizer"])}${merges}`);
}

function refuse(file: string, what: string): never {
  throw new FormatError(
    `${file}: llama.cpp has nothing known here that cuts texts like ${what}. A similar one would give a model that answers almost ` +
      "right, so no GGUF file is written. Serve the model with preftune serve or vLLM instead.",
  );
}

function kindOf(part: unknown): string {
  return isRecord(part) ? String(part["type"]) : String(part);
}

/** The steps of a pre-tokenizer, a text each. */
function stepsOf(part: unknown): string[] {
  if (!isRecord(part)) return ["none"];
  if (part["type"] === "Sequence") {
    const list = part["pretokenizers"];
    return Array.isArray(list) ? list.flatMap(stepsOf) : ["none"];
  }
  return [stepOf(part)];
}

function stepOf(part: JsonObject): string {
  switch (part["type"]) {
    case "ByteLevel":
      if (part["add_prefix_space"] !== false) return "a space in front";
      return part["use_regex"] === false ? "bytes" : "words";
    case "Digits":
      return part["individual_digits"] === true ? "digits" : "numbers";
    case "Split":
      return splitOf(part);
    default:
      return String(part["type"]);
  }
}

/** The expression of a Split. What it finds covers a text, so that leaving out what is between is the same as keeping it. */
function splitOf(part: JsonObject): string {
  const { pattern, behavior, invert } = part as Record<string, unknown>;
  const expression = isRecord(pattern) ? pattern["Regex"] : null;
  const isWhole = (behavior === "Isolated" && invert !== true) || (behavior === "Removed" && invert === true);
  return typeof expression === "string" && isWhole ? expression : "another split";
}
