/** Student's distribution, at whole degrees of freedom. */

/** P(T ≤ t), by the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4. */
function studentCdf(t: number, degrees: number): number {
  const angle = Math.atan(t / Math.sqrt(degrees));
  const square = Math.cos(angle) ** 2;
  const isOdd = degrees % 2 === 1;
  let term = isOdd ? Math.cos(angle) : 1;
  let sum = degrees === 1 ? 0 : term;
  for (let k = isOdd ? 3 : 2; k < degrees - 1; k += 2) {
    term *= (square * (k - 1)) / k;
    sum += term;
  }
  const within = isOdd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
  return (1 + within) / 2;
}

/** The value below which T lies with probability `p`, between 0 and 1; NaN without a degree of freedom. */
export function studentQuantile(p: number, degrees: number): number {
  if (degrees < 1) return Number.NaN;
  let [low, high] = [-1, 1];
  while (studentCdf(low, degrees) > p) low *= 2;
  while (studentCdf(high, degrees) < p) high *= 2;
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (studentCdf(middle, degrees) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
