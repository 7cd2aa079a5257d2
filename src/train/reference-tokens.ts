/** Log-probs of rows' single tokens under the model of the start: computed once before training, and kept in a file. */
import { at } from "../base/at.ts";
import { countedTokens } from "../data/packing.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { CompletionScore } from "../forward/score-batch.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadedLogps, type StoredLogps, storedLogps } from "../runs/start-logps.ts";
import type { ReferenceSource } from "./completion-logps.ts";
import { type PassOptions, scoredRows, throughCache } from "./reference.ts";
import { joinedTokens, type TokenLogps } from "./token-changes.ts";

/**
 * The log-probs of all loss tokens of `options.examples` under the model as it is now, read from the cache where it has them; rounded to
 * what the cache keeps, within 5e-4 nats beyond a million tokens.
 */
export function precomputeTokens(
  model: CausalLM,
  batches: readonly MicroBatch[],
  options: PassOptions,
): ReferenceSource {
  const lengths = options.examples.map(({ completions }) => completions.map(countedTokens));
  const count = lengths.flat().reduce((sum, length) => sum + length, 0);
  const stored = throughCache(options, {
    read: (cached) => storedOf(cached["tokens"], count),
    make: () => {
      const kept = options.examples.map(() => [] as Float32Array[]);
      // as text: ranks give each other JSON
      const keep = (scores: readonly CompletionScore[]) =>
        scores.map(({ logps }) => storedLogps(logps, Number.POSITIVE_INFINITY));
      for (const [row, completion, logps] of scoredRows(model, batches, options, keep)) {
        at(kept, row)[completion] = loadedLogps(logps);
      }
      return storedLogps(joinedTokens(kept));
    },
    write: (tokens) => ({ tokens }),
  });
  return tokensFrom(cut(loadedLogps(stored), lengths));
}

/** Looks the tokens of a batch up. */
function tokensFrom(tokens: TokenLogps): ReferenceSource {
  return ({ packed, indices }) => {
    const own = packed.spans.map(({ example, completion }) =>
      at(at(tokens, at(indices, example)), completion),
    );
    return { referenceTokenLogps: joinedTokens([own]) };
  };
}

/** `all` by rows and completions. */
function cut(all: Float32Array, lengths: readonly (readonly number[])[]): TokenLogps {
  let from = 0;
  return lengths.map((row) =>
    row.map((length) => {
      from += length;
      return all.subarray(from - length, from);
    }),
  );
}

/** What a cache file holds; null where it is not of so many tokens. */
function storedOf(stored: unknown, count: number): StoredLogps | null {
  const tokens = stored as StoredLogps | undefined;
  if (typeof tokens?.values !== "string") return null;
  const logps = loadedLogps(tokens);
  return logps.length === count && logps.every(Number.isFinite) ? tokens : null;
}
