/** Rows longer than `max_length` or the model's context: how long a row is, and how it is cut. */
import type { Completion, Example } from "./example.ts";
import { promptKeyOf } from "./fingerprint.ts";

/** The most tokens of prompt and longest answer, and what sets them. */
export interface LengthLimit {
  tokens: number;
  by: "max_length" | "context";
}

/** The shorter of `max_length` and the model's context; null where there is neither. */
export function lengthLimit(maxLength: number | null, context: number | null): LengthLimit | null {
  if (context !== null && context < (maxLength ?? Number.POSITIVE_INFINITY))
    return { tokens: context, by: "context" };
  return maxLength === null ? null : { tokens: maxLength, by: "max_length" };
}

/** How long a row is and what it may be, in words. */
export function lengthWords(tokens: number, limit: LengthLimit): string {
  const end = limit.by === "context" ? "the model's context ends at" : "max_length is";
  return `${tokens} tokens, ${end} ${limit.tokens}`;
}

/** What happens to rows longer than that. */
export type OverflowPolicy = "error" | "drop" | "truncate";

/** Tokens of the longest single sequence of a row: the prompt and its longest answer. */
export function sequenceLength(example: Example): number {
  let longest = 0;
  for (const { ids } of example.completions) longest = Math.max(longest, ids.length);
  return example.promptIds.length + longest;
}

/**
 * `example` cut so that prompt and longest answer have at most `maxLength` tokens; itself when it fits.
 *
 * The prompt is cut first, from its left, keeping a BOS; it keeps at least a quarter of `maxLength`, for an answer
 * without a question teaches nothing. Then all answers are cut from the right to one length, so that neither side
 * of a pair is favoured.
 *
 * @param maxLength - at least 8
 */
export function truncateExample(example: Example, maxLength: number, bosTokenId: number | null): Example {
  if (sequenceLength(example) <= maxLength) return example;
  const longest = sequenceLength(example) - example.promptIds.length;
  const promptLimit = Math.max(maxLength - longest, Math.floor(maxLength / 4));
  const promptIds = cutPrompt(example.promptIds, promptLimit, bosTokenId);
  const answerLimit = maxLength - promptIds.length;
  const cut = example.completions.map(({ ids }) => Math.max(0, ids.length - answerLimit));
  return {
    ...example,
    promptIds,
    completions: example.completions.map((completion) => cutCompletion(completion, answerLimit)),
    trace: {
      ...example.trace,
      promptTokensCut: example.promptIds.length - promptIds.length,
      answerTokensCut: cut.reduce((sum, tokens) => sum + tokens, 0),
      endsLost: cut.filter((tokens) => tokens > 0).length,
      promptKey: promptKeyOf(example),
    },
  };
}

function cutPrompt(ids: number[], limit: number, bosTokenId: number | null): number[] {
  if (ids.length <= limit) return ids;
  const [first] = ids;
  if (first === undefined || first !== bosTokenId) return ids.slice(ids.length - limit);
  const kept = ids.slice(ids.length - limit + 1);
  // Where the BOS also opens every turn, the cut may fall right before one.
  return kept[0] === first ? kept : [first, ...kept];
}

function cutCompletion({ ids, mask }: Completion, limit: number): Completion {
  const kept = ids.slice(0, limit);
  return mask === undefined ? { ids: kept } : { ids: kept, mask: mask.slice(0, limit) };
}
