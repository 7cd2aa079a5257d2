/** The tokens of held-out pairs with their log-probs then and now. */
import type { Example } from "../data/example.ts";
import type { AnswerTokens, TokensOfPair } from "../runs/pair-tokens.ts";
import type { CompletionChange } from "./token-changes.ts";

/** Tokens that are kept at most: 1 MB of English words, which each checkpoint has too. */
const mostTokens = 50_000;

/** A pair to be kept: its place among the rows, and the key of its row. */
interface KeptPair {
  at: number;
  key: string;
}

/**
 * The tokens of the first of `pairs`, whole ones, up to 50,000 tokens.
 *
 * @param changes - of all completions
 * @param textOf - the text of a token
 */
export function pairTokens(
  changes: readonly CompletionChange[],
  pairs: readonly KeptPair[],
  examples: readonly Example[],
  textOf: (id: number) => string,
): Record<string, TokensOfPair> {
  const byRow = Map.groupBy(changes, ({ row }) => row);
  const kept: Record<string, TokensOfPair> = {};
  let tokens = 0;
  for (const { at, key } of pairs) {
    const [chosen, rejected] = byRow.get(at) ?? [];
    if (chosen === undefined || rejected === undefined) continue;
    tokens += chosen.logps.length + rejected.logps.length;
    if (tokens > mostTokens) break;
    kept[key] = {
      chosen: answerTokens(chosen, examples[at]?.completions[0], textOf),
      rejected: answerTokens(rejected, examples[at]?.completions[1], textOf),
    };
  }
  return kept;
}

function answerTokens(
  { changes, logps }: CompletionChange,
  completion: Example["completions"][number] | undefined,
  textOf: (id: number) => string,
): AnswerTokens {
  const { ids = [], mask } = completion ?? {};
  const counted = ids.filter((_, i) => mask === undefined || mask[i] !== 0);
  return {
    texts: counted.map(textOf),
    before: Array.from(logps, (logp, t) => rounded(logp - (changes[t] ?? Number.NaN))),
    now: Array.from(logps, rounded),
  };
}

/** Three decimals: a shade shows no more. */
function rounded(logp: number): number {
  return Math.round(logp * 1e3) / 1e3;
}
