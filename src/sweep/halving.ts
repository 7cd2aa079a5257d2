/** Successive halving: many candidates on a small budget, the better part of them on more, until few have had all of it. */

/** How it goes. */
export interface HalvingPlan {
  /** The best 1/factor of the candidates continue, with factor times the resource. */
  factor: number;
  /** What the first round gets, and the last at most. */
  least: number;
  most: number;
  /** Rounds the resource to a whole number, for steps and rows. */
  isWhole: boolean;
}

/** One round. */
export interface Round<T> {
  resource: number;
  /** Each with its value, the best first; NaN where there is none. */
  ranked: { candidate: T; value: number }[];
}

/** The resources of the rounds, ascending: from `least`, times `factor`, never more than `most`. */
export function resourcesOf({ factor, least, most, isWhole }: HalvingPlan): number[] {
  const rounds: number[] = [];
  for (let resource = least; resource < most; resource *= factor) {
    // 0.3 · 3 · 3 comes out a rounding error below 2.7
    const amount = isWhole ? Math.round(resource) : Number(resource.toPrecision(12));
    if (amount >= most) break;
    if (amount !== rounds.at(-1)) rounds.push(amount);
  }
  return [...rounds, most];
}

/**
 * The rounds, the last one with the candidates that came through.
 *
 * Paper: Jamieson & Talwalkar 2016, arXiv:1502.07943 (successive halving for hyperparameters).
 * Candidates without a value (NaN) come last and do not continue. It ends early when one is left, or none with a value.
 *
 * @param evaluate - values of the candidates with so much of the resource, in their order; higher is better
 */
export async function successiveHalving<T>(
  candidates: readonly T[],
  plan: HalvingPlan,
  evaluate: (candidates: readonly T[], resource: number) => Promise<readonly number[]>,
): Promise<Round<T>[]> {
  const rounds: Round<T>[] = [];
  let left = candidates;
  for (const resource of resourcesOf(plan)) {
    const values = await evaluate(left, resource);
    const ranked = left
      .map((candidate, i) => ({ candidate, value: values[i] ?? Number.NaN }))
      .sort((a, b) => orderOf(b.value) - orderOf(a.value));
    rounds.push({ resource, ranked });
    const best = ranked
      .slice(0, Math.max(1, Math.ceil(left.length / plan.factor)))
      .filter(({ value }) => !Number.isNaN(value));
    if (left.length <= 1 || best.length === 0) break;
    left = best.map(({ candidate }) => candidate);
  }
  return rounds;
}

function orderOf(value: number): number {
  return Number.isNaN(value) ? Number.NEGATIVE_INFINITY : value;
}
