/** The standard normal distribution: its cumulative distribution and its quantiles. */

/**
 * P(Z ≤ x) for a standard normal Z.
 *
 * Numerics: the series of erf below 3 in size, the continued fraction of erfc above; errors below 1e-12.
 */
export function normalCdf(x: number): number {
  if (Number.isNaN(x)) return Number.NaN;
  if (Math.abs(x) < 3) return 0.5 + density(x) * centralSeries(x);
  const tail = density(x) / tailFraction(Math.abs(x));
  return x < 0 ? tail : 1 - tail;
}

/** The x with P(Z ≤ x) = `p`; infinite at 0 and 1. */
export function normalQuantile(p: number): number {
  if (!(p > 0)) return Number.NEGATIVE_INFINITY;
  if (!(p < 1)) return Number.POSITIVE_INFINITY;
  let [low, high] = [-40, 40];
  // halving needs no starting value and no derivative, and this is called a few times a figure
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (normalCdf(middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function density(x: number): number {
  return Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
}

/** x + x³/3 + x⁵/(3·5) + …, which times the density is P(0 ≤ Z ≤ x). */
function centralSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (x * x) / (2 * n + 1);
    sum += term;
  }
  return sum;
}

/** x + 1/(x + 2/(x + 3/(x + …))): the density divided by it is P(Z ≥ x). */
function tailFraction(x: number): number {
  let fraction = x;
  for (let n = 60; n >= 1; n--) fraction = x + n / fraction;
  return fraction;
}
