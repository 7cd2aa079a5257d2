/** The standard normal distribution and χ²: cumulative distributions and quantiles. */

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

/** P(χ² ≤ x) with `degrees` degrees of freedom, by the series of the incomplete gamma function. */
export function chiSquareCdf(x: number, degrees: number): number {
  if (!(x > 0)) return 0;
  const a = degrees / 2;
  let term = 1 / a;
  let sum = term;
  for (let n = 1; term > 1e-17 * sum; n++) {
    term *= x / 2 / (a + n);
    sum += term;
  }
  return Math.min(1, sum * Math.exp(a * Math.log(x / 2) - x / 2 - logGammaOfHalf(degrees)));
}

/** The x with P(χ² ≤ x) = `p`. */
export function chiSquareQuantile(p: number, degrees: number): number {
  let [low, high] = [0, 10 * degrees + 100];
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (chiSquareCdf(middle, degrees) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** log Γ(degrees / 2), by Γ(x + 1) = x Γ(x) from Γ(1) = 1 and Γ(1/2) = √π. */
function logGammaOfHalf(degrees: number): number {
  let sum = degrees % 2 === 0 ? 0 : 0.5 * Math.log(Math.PI);
  for (let x = degrees % 2 === 0 ? 1 : 0.5; x < degrees / 2; x++) sum += Math.log(x);
  return sum;
}
