/**
 * Reference log-probabilities for DPO: live with the adapter switched off, or computed once before training and kept in
 * a file named after everything they depend on.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import { makeDirectory, sha256, writeFileAtomic } from "../base/files.ts";
import { readSealed, sealed } from "../base/sealed.ts";
import { CompletionValues, countCompletions } from "../data/completion-values.ts";
import type { Dataset } from "../data/dataset.ts";
import { describeOrigin, type Example } from "../data/example.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import { type CompletionScore, requireFiniteScore, scoreBatch } from "../forward/score-batch.ts";
import { type Over, roleOf } from "../methods/method.ts";
import { ldAlphaOf, type Objective } from "../methods/objective.ts";
import type { Adapter } from "../models/adapt.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { ReferenceSource } from "./completion-logps.ts";
import { shareOf } from "./row-shares.ts";

/** Of the cache's files; those of version 1 had no digest. */
const VERSION = 2;

/** Looks the sums of a batch's completions up in a table. */
export function referenceFrom(sums: CompletionValues): ReferenceSource {
  return ({ packed, indices }) => ({
    referenceLogps: packed.spans.map((span) => at(sums.of(at(indices, span.example)), span.completion)),
  });
}

/** How a reference is computed. */
export interface ReferencePass {
  numerics: Numerics;
  /** See `PairObjective.ld_alpha`. */
  ldAlpha: number | null;
}

/** Runs the model for each batch. */
export function modelReference(model: CausalLM, { numerics, ldAlpha }: ReferencePass): ReferenceSource {
  return (batch) => ({ referenceLogps: sumsOf(scoreBatch(model, batch, numerics), ldAlpha) });
}

/** The sum of each completion's log-probs, in order. With `ldAlpha` they are pairs, and tokens beyond the shorter one's length count that much. */
function sumsOf(scores: readonly CompletionScore[], ldAlpha: number | null): number[] {
  if (ldAlpha === null) return scores.map(({ sum }) => sum);
  return scores.map(({ logps }, i) => {
    const other = at(scores, i % 2 === 0 ? i + 1 : i - 1).logps;
    return logps.reduce((sum, logp, t) => sum + (t < other.length ? logp : ldAlpha * logp), 0);
  });
}

/**
 * Refuses sums that rows bring for an objective that weighs tokens.
 *
 * @throws {ConfigError} naming the first such row
 */
export function refuseGivenSums(
  objective: Objective,
  { examples, evalExamples }: Pick<Dataset, "examples" | "evalExamples">,
): void {
  const ldAlpha = ldAlphaOf(objective);
  if (ldAlpha === null) return;
  const given = [...examples, ...(evalExamples ?? [])].find(
    ({ referenceLogps }) => referenceLogps !== undefined,
  );
  if (given === undefined) return;
  throw new ConfigError(
    `ld_alpha: ${ldAlpha} weighs tokens in the reference's sums too, and ${describeOrigin(given.origin)} brings finished sums ` +
      "(ref_chosen_logps, ref_rejected_logps). Leave these columns out of the rows, and the reference is computed, or take ld_alpha out.",
  );
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

/** The sums that the rows bring along, or null when any row lacks them. */
export function givenReference(examples: readonly Example[]): CompletionValues | null {
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

/**
 * Sums of `examples` under the model as it is now, read from the cache when it has them.
 *
 * @param progress - called with how many examples are done
 */
export function precomputeReference(
  model: CausalLM,
  batches: readonly MicroBatch[],
  options: ReferencePass & {
    examples: readonly Example[];
    over: Over;
    cache: ReferenceCache;
    progress?: (done: number) => void;
    /** The ranks that share the work; left out: this process does all of it. */
    group?: RankGroup | null;
  },
): { sums: CompletionValues; fromCache: boolean } {
  const path = join(options.cache.dir, `reference-${sha256(options.cache.key.join("\n")).slice(0, 32)}.json`);
  const cached = readSums(path, options.examples);
  if (cached !== null) return { sums: cached, fromCache: true };
  const sums = new CompletionValues(options.examples);
  const { group = null } = options;
  let done = 0;
  const found: [row: number, completion: number, sum: number][] = [];
  for (const batch of shareOf(batches, group)) {
    const scores = scoreBatch(model, batch, options.numerics);
    const sumOf = sumsOf(scores, options.ldAlpha);
    for (const [i, score] of scores.entries()) {
      if (batch.isIdle === true) continue;
      const row = `${rowOf(batch, score.index)}, reference log-probs`;
      requireFiniteScore(score, row, roleOf(options.over, score.completion));
      found.push([score.index, score.completion, at(sumOf, i)]);
    }
    done += batch.indices.length * (group?.size ?? 1);
    options.progress?.(Math.min(done, options.examples.length));
  }
  for (const [index, completion, sum] of group === null ? found : group.gather(found).flat()) {
    sums.of(index)[completion] = sum;
  }
  if (group === null || group.rank === 0) {
    makeDirectory(options.cache.dir);
    writeFileAtomic(path, sealed(JSON.stringify({ version: VERSION, sums: Array.from(sums.all) })));
  }
  return { sums, fromCache: false };
}

/** `file:line` of example `index` of the dataset. */
function rowOf({ packed, indices }: MicroBatch, index: number): string {
  return describeOrigin(at(packed.examples, indices.indexOf(index)).origin);
}

/** The sums in a cache file; null when it is absent, damaged or without a digest: it will be written again. */
function readSums(path: string, examples: readonly Example[]): CompletionValues | null {
  if (!existsSync(path)) return null;
  try {
    const { version, sums } = readSealed(path);
    const isComplete =
      version === VERSION && Array.isArray(sums) && sums.length === countCompletions(examples);
    return isComplete && sums.every(Number.isFinite) ? new CompletionValues(examples, sums) : null;
  } catch {
    return null;
  }
}
