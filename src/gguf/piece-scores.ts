/**
 * Tokenizers made as SentencePiece's are: `▁` for a space, and bytes for what has no piece. llama.cpp joins pieces by the score of
 * what they make, a tokenizer.json by its list of merges: the two are the same where the list has every way to make a piece, and
 * all ways to make one stand together.
 */
import { FormatError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import type { JsonObject } from "../text/tokenizer-files.ts";

const space = "▁";

/** Where such a tokenizer puts a space in front: of every text, of those that do not begin with one, of the first, of none. */
export type SpacePrefix = "always" | "where missing" | "first" | "never";

/**
 * Where the tokenizer puts a space in front.
 *
 * @throws {FormatError} for steps that llama.cpp does not have
 */
export function spacePrefix(tokenizer: JsonObject, file: string): SpacePrefix {
  const normalizers = partsOf(tokenizer["normalizer"], "normalizers").map(normalizerOf);
  const before = partsOf(tokenizer["pre_tokenizer"], "pretokenizers").map(beforeOf);
  const steps = [...normalizers, ...before].filter((step) => step !== "cut").join(", ");
  const known: Readonly<Record<string, SpacePrefix>> = {
    "prepend, replace": "always",
    replace: "never",
    always: "where missing",
    first: "first",
    never: "never",
  };
  const found = known[steps];
  if (found !== undefined) return found;
  const parts = [tokenizer["normalizer"], tokenizer["pre_tokenizer"]].map((part) => JSON.stringify(part));
  throw new FormatError(
    `${file}: llama.cpp does not have the normalizer ${parts[0]} with the pre-tokenizer ${parts[1]}, so no GGUF file is written. ` +
      "Serve the model with preftune serve or vLLM instead.",
  );
}

function partsOf(part: unknown, list: string): JsonObject[] {
  if (!isRecord(part)) return [];
  if (part["type"] !== "Sequence") return [part];
  const parts = part[list];
  return Array.isArray(parts) ? parts.filter(isRecord) : [part];
}

function patternOf({ pattern }: Record<string, unknown>): unknown {
  return isRecord(pattern) ? pattern["String"] : null;
}

function normalizerOf(part: JsonObject): string {
  if (part["type"] === "Prepend" && part["prepend"] === space) return "prepend";
  const isReplace = part["type"] === "Replace" && part["content"] === space && patternOf(part) === " ";
  return isReplace ? "replace" : "unknown";
}

function beforeOf(part: JsonObject): string {
  // behind the normalizer there is no space left to cut at
  if (part["type"] === "Split" && patternOf(part) === " ") return "cut";
  const isMetaspace =
    part["type"] === "Metaspace" && part["replacement"] === space && part["split"] === false;
  if (!isMetaspace) return "unknown";
  return part["add_prefix_space"] === false ? "never" : String(part["prepend_scheme"] ?? "always");
}

/**
 * A score for each piece of the vocabulary that merges make, the first made the highest; others are not in it.
 *
 * @throws {FormatError} when no scores join pieces as the merges do
 */
export function pieceScores(
  vocabulary: ReadonlySet<string>,
  merges: readonly (readonly [string, string])[],
  file: string,
): Map<string, number> {
  const scores = new Map<string, number>();
  const ways = new Map<string, number>();
  let last = "";
  for (const [left, right] of merges) {
    const made = left + right;
    if (made !== last && scores.has(made)) refuseScores(file, made, "its merges do not stand together");
    scores.set(made, scores.get(made) ?? 0 - scores.size);
    ways.set(made, (ways.get(made) ?? 0) + 1);
    last = made;
  }
  for (const piece of vocabulary) {
    const all = splitsOf(piece).filter(
      ([left, right]) => vocabulary.has(left) && vocabulary.has(right),
    ).length;
    if (all !== (ways.get(piece) ?? 0)) refuseScores(file, piece, "its merges are not all ways to make it");
  }
  return scores;
}

function splitsOf(piece: string): [string, string][] {
  const characters = Array.from(piece);
  return characters
    .slice(1)
    .map((_, i) => [characters.slice(0, i + 1).join(""), characters.slice(i + 1).join("")]);
}

function refuseScores(file: string, piece: string, why: string): never {
  throw new FormatError(
    `${file}: llama.cpp joins pieces by scores, and no scores do what these merges do: for ${JSON.stringify(piece)}, ${why}. ` +
      "No GGUF file is written. Serve the model with preftune serve or vLLM instead.",
  );
}
