/** PPO's token rewards, generalised advantage estimation and whitening, in float64: plain numbers, no libtorch. */
import { at } from "../../base/at.ts";
import { deviation, mean } from "../advantages.ts";
import { klEstimate } from "../kl-estimators.ts";
import type { PpoOptions } from "./settings.ts";

/** Added to a variance before anything is divided by its root. */
const epsilon = 1e-8;

/**
 * The reward of each token: −kl_coef × its KL, and the completion's reward at the last.
 *
 * Paper: Ouyang et al. 2022, "Training language models to follow instructions", arXiv:2203.02155, Eq. (2), by token.
 */
export function tokenRewards(
  reward: number,
  logps: ArrayLike<number>,
  referenceLogps: ArrayLike<number> | null,
  { kl_coef, kl_estimator }: Pick<PpoOptions, "kl_coef" | "kl_estimator">,
): number[] {
  return Array.from(logps, (logp, t) => {
    const kl = referenceLogps === null ? 0 : klEstimate(kl_estimator, logp, referenceLogps[t] ?? Number.NaN);
    return -kl_coef * kl + (t === logps.length - 1 ? reward : 0);
  });
}

/**
 * Generalised advantage estimation for one completion; the value after its last token is 0.
 *
 * Paper: Schulman et al. 2015, "High-Dimensional Continuous Control Using Generalized Advantage Estimation",
 *   arXiv:1506.02438, Eq. (16): Â_t = δ_t + γλ Â_{t+1}, δ_t = ρ_t + γ V_{t+1} − V_t
 *
 * @param rewards - of each token
 * @param values - what the value model expects from the state before each token
 */
export function gae(
  rewards: readonly number[],
  values: ArrayLike<number>,
  { gamma, lam }: Pick<PpoOptions, "gamma" | "lam">,
): number[] {
  const advantages = new Array<number>(rewards.length);
  let following = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    const delta = at(rewards, t) + gamma * (values[t + 1] ?? 0) - (values[t] ?? Number.NaN);
    following = delta + gamma * lam * following;
    advantages[t] = following;
  }
  return advantages;
}

/** (x − mean) / √(variance + 1e-8) over all numbers, the variance with Bessel's correction; `keepMean` adds the mean again. */
export function whitened(rows: readonly (readonly number[])[], keepMean = false): number[][] {
  const all = rows.flat();
  const [center, spread] = [mean(all), deviation(all)];
  const scale = Number.isNaN(spread) ? 1 : 1 / Math.sqrt(spread ** 2 + epsilon);
  return rows.map((row) => row.map((x) => (x - center) * scale + (keepMean ? center : 0)));
}
