/** Logistic regression of a few coefficients by Newton's method: what Bradley–Terry strengths and their controls are fitted with. */

/** Observations: the same length everywhere. */
export interface LogisticData {
  /** A list of covariates for each observation. */
  covariates: readonly (readonly number[])[];
  /** Outcomes in [0, 1]; 0.5 for a tie. */
  outcomes: readonly number[];
  /** Weights of at least 0. */
  weights: readonly number[];
}

const mostSteps = 50;
const tolerance = 1e-10;

/**
 * Coefficients b that maximise Σ w (y log p + (1 − y) log(1 − p)) − Σ penalty b² / 2 with p = 1 / (1 + exp(−x·b)).
 *
 * Numerics: steps are halved while they make the fit worse, so separated data end where the penalty holds them.
 * @param penalties - one for each coefficient; above 0 where the data may be separated
 * @returns NaN everywhere when nothing has weight
 */
export function fitLogistic(data: LogisticData, penalties: readonly number[]): number[] {
  let coefficients = penalties.map(() => 0);
  if (!data.weights.some((weight) => weight > 0)) return penalties.map(() => Number.NaN);
  let value = objective(data, penalties, coefficients);
  for (let step = 0; step < mostSteps; step++) {
    const { gradient, hessian } = derivatives(data, penalties, coefficients);
    const direction = solve(hessian, gradient);
    if (direction === null) break;
    let size = 1;
    let next = moved(coefficients, direction, size);
    let reached = objective(data, penalties, next);
    while (!(reached >= value) && size > 1e-6) {
      size /= 2;
      next = moved(coefficients, direction, size);
      reached = objective(data, penalties, next);
    }
    if (!(reached >= value)) break;
    coefficients = next;
    value = reached;
    if (Math.max(...direction.map(Math.abs)) * size < tolerance) break;
  }
  return coefficients;
}

/** 1 / (1 + exp(−x)). */
export function sigmoid(x: number): number {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

/** log of {@link sigmoid}. */
function logSigmoid(x: number): number {
  return x >= 0 ? -Math.log1p(Math.exp(-x)) : x - Math.log1p(Math.exp(x));
}

function moved(from: readonly number[], direction: readonly number[], size: number): number[] {
  return from.map((value, i) => value + size * (direction[i] as number));
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);
}

function objective(
  { covariates, outcomes, weights }: LogisticData,
  penalties: readonly number[],
  coefficients: readonly number[],
): number {
  const held = coefficients.reduce((sum, b, i) => sum + ((penalties[i] as number) * b * b) / 2, 0);
  return covariates.reduce((sum, x, i) => {
    const weight = weights[i] as number;
    if (weight === 0) return sum;
    const outcome = outcomes[i] as number;
    const score = dot(x, coefficients);
    return sum + weight * (outcome * logSigmoid(score) + (1 - outcome) * logSigmoid(-score));
  }, -held);
}

/** Gradient of the objective, and its Hessian with the sign turned. */
function derivatives(
  { covariates, outcomes, weights }: LogisticData,
  penalties: readonly number[],
  coefficients: readonly number[],
): { gradient: number[]; hessian: number[][] } {
  const gradient = coefficients.map((b, i) => -(penalties[i] as number) * b);
  const hessian = penalties.map((penalty, i) => penalties.map((_, j) => (i === j ? penalty : 0)));
  for (const [row, x] of covariates.entries()) {
    const weight = weights[row] as number;
    if (weight === 0) continue;
    const p = sigmoid(dot(x, coefficients));
    const slope = weight * ((outcomes[row] as number) - p);
    const curve = weight * p * (1 - p);
    for (const [i, xi] of x.entries()) {
      gradient[i] = (gradient[i] as number) + slope * xi;
      const line = hessian[i] as number[];
      for (const [j, xj] of x.entries()) line[j] = (line[j] as number) + curve * xi * xj;
    }
  }
  return { gradient, hessian };
}

/** The solution of a small system by elimination with pivots; null when it is singular. */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] | null {
  const size = right.length;
  const rows = matrix.map((row, i) => [...row, right[i] as number]);
  for (let column = 0; column < size; column++) {
    const at = (row: number): number => Math.abs(rows[row]?.[column] ?? 0);
    let pivot = column;
    for (let row = column + 1; row < size; row++) if (at(row) > at(pivot)) pivot = row;
    if (at(pivot) < 1e-300) return null;
    [rows[column], rows[pivot]] = [rows[pivot] as number[], rows[column] as number[]];
    const top = rows[column] as number[];
    for (let row = 0; row < size; row++) {
      if (row === column) continue;
      const line = rows[row] as number[];
      const factor = (line[column] as number) / (top[column] as number);
      for (let k = column; k <= size; k++) line[k] = (line[k] as number) - factor * (top[k] as number);
    }
  }
  return rows.map((row, i) => (row[size] as number) / (row[i] as number));
}
