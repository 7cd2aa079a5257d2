/** Elementary effects: how much a metric depends on each of several factors over their whole ranges, at a small number of runs. */
import { permutation, type Random } from "preftune/sweep";
/** One point of a trajectory. */
export interface MorrisPoint {
  trajectory: number;
  /** Place of each factor in its range, 0 … 1. */
  shares: number[];
  /** The factor that was moved to come here, and by how much; null at the start of a trajectory. */
  moved: { factor: number; by: number } | null;
}

/** Factors stand on four levels and move by two of the three gaps, so that every level is visited equally often. */
const levels = [0, 1 / 3, 2 / 3, 1] as const;
const stride = 2 / 3;

/**
 * Trajectories through the unit cube, each moving every one of `factors` factors once: factors + 1 points a trajectory.
 *
 * Paper: Morris 1991, Technometrics 33:161 ("Factorial sampling plans for preliminary computational experiments").
 */
export function morrisPlan(factors: number, trajectories: number, random: Random): MorrisPoint[] {
  return Array.from({ length: trajectories }, (_, trajectory) => {
    const shares = Array.from({ length: factors }, () => random.pick(levels) as number);
    const points: MorrisPoint[] = [{ trajectory, shares: [...shares], moved: null }];
    for (const factor of permutation(factors, random.below(2 ** 31))) {
      const now = shares[factor] as number;
      const by = now < 0.5 ? stride : -stride;
      shares[factor] = now + by;
      points.push({ trajectory, shares: [...shares], moved: { factor, by } });
    }
    return points;
  }).flat();
}

/**
 * The effect of each factor in each trajectory: change of the metric for a move over the factor's whole range.
 *
 * @param values - the metric at each point of the plan; NaN where it is not known
 * @returns by factor, by trajectory
 */
export function elementaryEffects(plan: readonly MorrisPoint[], values: readonly number[]): Float64Array[] {
  const factors = plan[0]?.shares.length ?? 0;
  const trajectories = (plan.at(-1)?.trajectory ?? -1) + 1;
  const effects = Array.from({ length: factors }, () => new Float64Array(trajectories).fill(Number.NaN));
  for (const [i, { trajectory, moved }] of plan.entries()) {
    if (moved === null) continue;
    const change = (values[i] as number) - (values[i - 1] as number);
    (effects[moved.factor] as Float64Array)[trajectory] = change / moved.by;
  }
  return effects;
}
