/**
 * Reference log-probabilities, sums of completions for DPO or single tokens: live with the adapter switched off, or computed once before training and kept in
 * a file named after everything they depend on.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { at } from "../base/at.ts";
import { makeDirectory, sha256, writeFileAtomic } from "../base/files.ts";
import { readSealed, sealed } from "../base/sealed.ts";
import { CompletionValues, countCompletions } from "../data/completion-values.ts";
import { describeOrigin, type Example } from "../data/example.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import { type CompletionScore, requireFiniteScore, scoreBatch } from "../forward/score-batch.ts";
import { type Over, roleOf } from "../methods/method.ts";
import { ldAlphaOf, type Objective, takesReferenceTokens } from "../methods/objective.ts";
import type { Adapter } from "../models/adapt.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { ReferenceSource } from "./completion-logps.ts";
import { shareOf } from "./row-shares.ts";
import { joinedTokens } from "./token-changes.ts";

/** Of the cache's files; those of version 1 had no digest. */
const VERSION = 2;

/** Looks the sums of a batch's completions up in a table. */
export function referenceFrom(sums: CompletionValues): ReferenceSource {
  return ({ packed, indices }) => ({
    referenceLogps: packed.spans.map((span) => at(sums.of(at(indices, span.example)), span.completion)),
  });
}

/** How a reference is computed, and what is wanted of it. */
export interface ReferencePass {
  numerics: Numerics;
  /** See `PairObjective.ld_alpha`. */
  ldAlpha: number | null;
  /** Whether the log-probs of single tokens are wanted, in place of their sums; left out: the sums. */
  tokens?: boolean;
}

/** The pass that `objective` needs. */
export function referencePass(objective: Objective, numerics: Numerics): ReferencePass {
  return { numerics, ldAlpha: ldAlphaOf(objective), tokens: takesReferenceTokens(objective) };
}

/** Runs the model for each batch. */
export function modelReference(
  model: CausalLM,
  { numerics, ldAlpha, tokens = false }: ReferencePass,
): ReferenceSource {
  return (batch) => {
    const scores = scoreBatch(model, batch, numerics);
    if (tokens) return { referenceTokenLogps: joinedTokens([scores.map(({ logps }) => logps)]) };
    return { referenceLogps: sumsOf(scores, ldAlpha) };
  };
}

/** The sum of each completion's log-probs, in order. With `ldAlpha` they are pairs, and tokens beyond the shorter one's length count that much. */
function sumsOf(scores: readonly CompletionScore[], ldAlpha: number | null): number[] {
  if (ldAlpha === null) return scores.map(({ sum }) => sum);
  return scores.map(({ logps }, i) => {
    const other = at(scores, i % 2 === 0 ? i + 1 : i - 1).logps;
    return logps.reduce((sum, logp, t) => sum + (t < other.length ? logp : ldAlpha * logp), 0);
  });
}

/** Runs the model without its adapter for each batch. */
export function liveReference(model: CausalLM, adapter: Adapter, pass: ReferencePass): ReferenceSource {
  const reference = modelReference(model, pass);
  return (batch) => {
    const { enabled } = adapter.switch;
    adapter.switch.enabled = false;
    try {
      return reference(batch);
    } finally {
      adapter.switch.enabled = enabled;
    }
  };
}

/** The sums that the rows bring along, or null when any row lacks them, or single tokens are wanted. */
export function givenReference(
  examples: readonly Example[],
  { tokens = false }: Pick<ReferencePass, "tokens">,
): CompletionValues | null {
  if (tokens) return null;
  const sums = new CompletionValues(examples);
  for (const [row, { completions, referenceLogps = [] }] of examples.entries()) {
    if (referenceLogps.length !== completions.length) return null;
    sums.of(row).set(referenceLogps);
  }
  return sums;
}

/** Where precomputed sums are kept, and what they depend on. */
export interface ReferenceCache {
  dir: string;
  /** Everything the sums depend on: model, adapter it starts from, data, template, type of the activations. */
  key: readonly string[];
}

/** A pass of the reference over rows. */
export interface PassOptions extends ReferencePass {
  examples: readonly Example[];
  over: Over;
  cache: ReferenceCache;
  /** Called with how many examples are done. */
  progress?: (done: number) => void;
  /** The ranks that share the work; left out: this process does all of it. */
  group?: RankGroup | null;
}

/** Sums of `examples` under the model as it is now, read from the cache when it has them. */
export function precomputeReference(
  model: CausalLM,
  batches: readonly MicroBatch[],
  options: PassOptions,
): CompletionValues {
  const { examples, ldAlpha } = options;
  return throughCache(options, {
    read: ({ sums }) => readSums(sums, examples),
    make: () => {
      const sums = new CompletionValues(examples);
      const keep = (scores: readonly CompletionScore[]) => sumsOf(scores, ldAlpha);
      for (const [row, completion, sum] of scoredRows(model, batches, options, keep)) {
        sums.of(row)[completion] = sum;
      }
      return sums;
    },
    write: (sums) => ({ sums: Array.from(sums.all) }),
  });
}

/** How values are read from a cache file, made, and written into it. */
interface Cached<Values> {
  /** Null where the file does not hold them. */
  read(content: Record<string, unknown>): Values | null;
  make(): Values;
  write(values: Values): Record<string, unknown>;
}

/**
 * The values in the cache, or made now and put there; a file that is absent, damaged or without a digest is written again. Of several
 * ranks all make them, together, where one has no file: hosts may have directories apart.
 */
export function throughCache<Values>(
  { cache, group = null }: Pick<PassOptions, "cache" | "group">,
  { read, make, write }: Cached<Values>,
): Values {
  const path = join(cache.dir, `reference-${sha256(cache.key.join("\n")).slice(0, 32)}.json`);
  const known = readCached(path, read);
  const isKnown = group === null || group.gather(known !== null).every(Boolean);
  if (known !== null && isKnown) return known;
  const values = make();
  if (group === null || group.rank === 0) {
    makeDirectory(cache.dir);
    writeFileAtomic(path, sealed(JSON.stringify({ version: VERSION, ...write(values) })));
  }
  return values;
}

/** Of each completion of the rows what `keep` keeps of its score, a batch at a time; of all ranks. */
export function scoredRows<Kept>(
  model: CausalLM,
  batches: readonly MicroBatch[],
  { numerics, examples, over, progress, group = null }: PassOptions,
  keep: (scores: readonly CompletionScore[]) => Kept[],
): [row: number, completion: number, kept: Kept][] {
  let done = 0;
  const found: [row: number, completion: number, kept: Kept][] = [];
  for (const batch of shareOf(batches, group)) {
    const scores = scoreBatch(model, batch, numerics);
    const kept = keep(scores);
    for (const [i, score] of scores.entries()) {
      if (batch.isIdle === true) continue;
      const row = `${rowOf(batch, score.index)}, reference log-probs`;
      requireFiniteScore(score, row, roleOf(over, score.completion));
      found.push([score.index, score.completion, at(kept, i)]);
    }
    done += batch.indices.length * (group?.size ?? 1);
    progress?.(Math.min(done, examples.length));
  }
  return group === null ? found : group.gather(found).flat();
}

/** `file:line` of example `index` of the dataset. */
function rowOf({ packed, indices }: MicroBatch, index: number): string {
  return describeOrigin(at(packed.examples, indices.indexOf(index)).origin);
}

/** What `read` finds in a cache file; null when it is absent, damaged, or of another version. */
function readCached<Values>(path: string, read: Cached<Values>["read"]): Values | null {
  if (!existsSync(path)) return null;
  try {
    const { version, ...content } = readSealed(path);
    return version === VERSION ? read(content) : null;
  } catch {
    return null;
  }
}

function readSums(sums: unknown, examples: readonly Example[]): CompletionValues | null {
  const isComplete = Array.isArray(sums) && sums.length === countCompletions(examples);
  return isComplete && sums.every(Number.isFinite) ? new CompletionValues(examples, sums) : null;
}
