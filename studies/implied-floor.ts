/**
 * SLIME's gradients in closed form: how hard a pair is pushed apart at a margin, and the log-prob at which the stabiliser
 * holds a rejected token against that push.
 */
import type { SettingsOf } from "preftune/methods";
/** What the margin term is made of. */
export type MarginValues = Pick<SettingsOf<"slime">, "margin_hard" | "margin_soft" | "kappa" | "lambda_d">;

/** What the stabiliser is made of. */
export type StabiliserValues = Pick<SettingsOf<"slime">, "lambda_l" | "delta" | "power">;

/**
 * g(Δ) = −λd f′(Δ) with f(Δ) = relu(mh − Δ) σ(κ(ms − Δ)): how hard the margin term pushes a pair apart; 0 from mh on.
 *
 * @param margin - Δ, nats per token
 */
export function marginPush(
  { margin_hard, margin_soft, kappa, lambda_d }: MarginValues,
  margin: number,
): number {
  if (margin >= margin_hard) return 0;
  const gate = sigmoid(kappa * (margin_soft - margin));
  return lambda_d * (gate + (margin_hard - margin) * kappa * gate * (1 - gate));
}

/**
 * The log-prob (nats) at which push and stabiliser balance for a rejected token: the solution of
 * p · softplus(u)^(p−1) σ(u) = r g / λl with u = −logp − δ, found by halving. −∞ where nothing holds it.
 *
 * @param push - g
 * @param lengthRatio - r: mean length of the rejected answers divided by this one's
 */
export function impliedFloor(
  { lambda_l, delta, power }: StabiliserValues,
  push: number,
  lengthRatio = 1,
): number {
  if (lambda_l === 0) return push > 0 ? Number.NEGATIVE_INFINITY : 0;
  const wanted = (lengthRatio * push) / lambda_l;
  const pullAt = (u: number): number => power * softplus(u) ** (power - 1) * sigmoid(u);
  // p = 1 pulls with at most λl, however unlikely the token has become
  if (pullAt(mostNats) < wanted) return Number.NEGATIVE_INFINITY;
  let [low, high] = [-mostNats, mostNats];
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (pullAt(middle) < wanted) low = middle;
    else high = middle;
  }
  // a log-prob is at most 0: there the stabiliser is stronger than the push everywhere
  return Math.min(0, -delta - (low + high) / 2);
}

/** Beyond this a probability is 0 in any float. */
const mostNats = 1e6;

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

function softplus(x: number): number {
  return x > 30 ? x : Math.log1p(Math.exp(x));
}
