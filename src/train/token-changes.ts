/** How the log-probs of single tokens changed since the start: drift, tail, and the tokens that lost most. */
import type { Example } from "../data/example.ts";

/** Log-probs of the loss tokens of each row's completions, (row)(completion)(token), nats. */
export type TokenLogps = readonly (readonly Float32Array[])[];

/** All of `tokens` one after the other. */
export function joinedTokens(tokens: TokenLogps): Float32Array {
  const parts = tokens.flat();
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The change of each token of one completion. */
export interface CompletionChange {
  row: number;
  /** Chosen: the first of a row, unless it is labelled bad. */
  role: "chosen" | "rejected";
  changes: Float32Array;
  /** As they are now. */
  logps: Float32Array;
}

/**
 * By completion how its tokens' log-probs changed.
 *
 * @param before - of the same tokens, joined; null where another number of tokens was kept: no changes then
 */
export function tokenChanges(
  before: Float32Array | null,
  now: TokenLogps,
  examples: readonly Example[],
): CompletionChange[] {
  const count = now.flat().reduce((sum, { length }) => sum + length, 0);
  if (before === null || before.length !== count) return [];
  let at = 0;
  return now.flatMap((completions, row) =>
    completions.map((logps, completion): CompletionChange => {
      const start = at;
      at += logps.length;
      const changes = logps.map((logp, t) => logp - (before[start + t] ?? Number.NaN));
      const isChosen = completion === 0 && examples[row]?.label !== false;
      return { row, role: isChosen ? "chosen" : "rejected", changes, logps };
    }),
  );
}

/**
 * Drift, the mean absolute change of a token's log-prob, and tail, the 1 % quantile of the changes (interpolated between neighbours, as
 * numpy does), over the tokens of chosen completions and over those of rejected ones. Changes that are not finite are left out, and
 * those of chosen completions counted: where there are any, drift and tail say nothing.
 */
export function damage(changes: readonly CompletionChange[]): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const [role, name] of [
    ["chosen", "token_change"],
    ["rejected", "rejected_token_change"],
  ] as const) {
    const own = changes.filter((change) => change.role === role);
    const joined = joinedTokens([own.map((change) => change.changes)]);
    const all = joined.filter(Number.isFinite);
    if (role === "chosen" && joined.length > 0) {
      figures["displacement/token_change_not_finite"] = joined.length - all.length;
    }
    if (all.length === 0) continue;
    figures[`displacement/${name}_mean_abs`] =
      all.reduce((sum, change) => sum + Math.abs(change), 0) / all.length;
    figures[`displacement/${name}_p01`] = quantile(all.sort(), 0.01);
  }
  return figures;
}

/** The quantile of ascending values, between two neighbours in proportion. */
function quantile(sorted: Float32Array, share: number): number {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below] ?? Number.NaN;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] ?? Number.NaN;
  return low + (place - below) * (high - low);
}

/** A token that lost likelihood, with the text around it. */
export interface FallenToken {
  /** Place among the rows. */
  row: number;
  before: string;
  token: string;
  after: string;
  /** Nats. */
  change: number;
  /** Log-prob as it is now. */
  logp: number;
}

/** Tokens shown around one. */
const around = { before: 10, after: 5 };

/** What a token lost: all there is where its log-prob, or its change, is no finite number and it had one to lose. */
function lossOf(change: number, logp: number): number {
  if (Number.isNaN(change) || logp === Number.NEGATIVE_INFINITY) return Number.NEGATIVE_INFINITY;
  return change;
}

/**
 * The tokens of chosen completions that lost most, at most one of a completion, worst first: before all others those whose log-prob is
 * no finite number any more.
 *
 * @param decode - text of token ids
 */
export function fallenTokens(
  changes: readonly CompletionChange[],
  examples: readonly Example[],
  decode: (ids: readonly number[]) => string,
  count: number = 5,
): FallenToken[] {
  const worst = changes.flatMap((one) => {
    if (one.role !== "chosen") return [];
    let [least, loss] = [-1, 0];
    for (const [t, change] of one.changes.entries()) {
      const own = lossOf(change, one.logps[t] ?? Number.NaN);
      if (own < loss) [least, loss] = [t, own];
    }
    return least < 0 ? [] : [{ ...one, t: least, loss, change: one.changes[least] ?? Number.NaN }];
  });
  // −∞ less −∞ is no number
  worst.sort((a, b) => (a.loss === b.loss ? 0 : a.loss - b.loss));
  return worst.slice(0, count).map(({ row, t, change, logps }) => {
    const { ids = [], mask } = examples[row]?.completions[0] ?? {};
    const places = ids.flatMap((_, i) => (mask === undefined || mask[i] !== 0 ? [i] : []));
    const place = places[t] ?? ids.length;
    return {
      row,
      before: decode(ids.slice(Math.max(0, place - around.before), place)),
      token: decode(ids.slice(place, place + 1)),
      after: decode(ids.slice(place + 1, place + 1 + around.after)),
      change,
      logp: logps[t] ?? Number.NaN,
    };
  });
}
