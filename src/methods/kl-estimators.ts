/**
 * Schulman's estimators of KL(π ‖ ref) from one token drawn from π, with x = log π − log ref:
 *
 * | name | value | gradient in the mean, as a term of the loss | taken off the reward |
 * | --- | --- | --- | --- |
 * | k1 | x | 0: none at all | that of KL, unbiased |
 * | k2 | x² / 2 | that of KL | biased |
 * | k3 | e^−x + x − 1 | that of KL(ref ‖ π): biased; times π / π_old it is that of KL | biased |
 *
 * Source: Schulman 2020, "Approximating KL Divergence"; gradients: arXiv:2512.21852, "A Comedy of Estimators". Tested by exact
 * enumeration in kl-estimators.test.ts. Of several tokens, the gradient in the loss is that of each token's KL with the distribution of
 * the tokens before it fixed; taken off the reward, k1 gives that of the completion's KL. No libtorch.
 */
/** An estimator. */
export type KlEstimator = "k1" | "k2" | "k3";

/** The estimate from one token: a number, nats. At least 0 for k2 and k3. */
export function klEstimate(estimator: KlEstimator, logp: number, referenceLogp: number): number {
  const x = logp - referenceLogp;
  if (estimator === "k1") return x;
  return estimator === "k2" ? (x * x) / 2 : Math.expm1(-x) + x;
}

/** Σ over the tokens of a completion, nats. */
export function klOfCompletion(
  estimator: KlEstimator,
  logps: ArrayLike<number>,
  referenceLogps: ArrayLike<number>,
): number {
  return Array.from(logps).reduce(
    (sum, logp, t) => sum + klEstimate(estimator, logp, referenceLogps[t] ?? Number.NaN),
    0,
  );
}
