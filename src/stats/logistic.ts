/** Logistic regression of a few coefficients by Newton's method: what Bradley–Terry strengths and their controls are fitted with. */

/** Observations. */
export interface LogisticData {
  /** (observations × coefficients), row by row. */
  covariates: Float64Array;
  /** Outcomes in [0, 1]; 0.5 for a tie. */
  outcomes: Float64Array;
  /** Weights of at least 0. */
  weights: Float64Array;
}

/** How a fit is held and where it begins. */
export interface LogisticOptions {
  /** One for each coefficient; above 0 where the data may be separated. */
  penalties: readonly number[];
  /** Default: all 0. A near guess saves steps. */
  start?: readonly number[];
}

const mostSteps = 50;
const smallestStep = 1e-6;
const tolerance = 1e-10;

/**
 * Coefficients b that maximise Σ w (y log p + (1 − y) log(1 − p)) − Σ penalty b² / 2 with p = 1 / (1 + exp(−x·b)).
 *
 * Numerics: steps are halved while they make the fit worse, so separated data end where the penalty holds them.
 * @returns NaN everywhere when nothing has weight
 */
export function fitLogistic(data: LogisticData, { penalties, start }: LogisticOptions): number[] {
  if (!data.weights.some((weight) => weight > 0)) return penalties.map(() => Number.NaN);
  let at = evaluate(data, penalties, start ?? penalties.map(() => 0));
  for (let step = 0; step < mostSteps; step++) {
    const direction = solve(at.hessian, at.gradient);
    if (direction === null) break;
    let size = 1;
    let next = evaluate(data, penalties, moved(at.coefficients, direction, size));
    while (!(next.value >= at.value) && size > smallestStep) {
      size /= 2;
      next = evaluate(data, penalties, moved(at.coefficients, direction, size));
    }
    if (!(next.value >= at.value)) break;
    at = next;
    if (Math.max(...direction.map(Math.abs)) * size < tolerance) break;
  }
  return at.coefficients;
}

/** 1 / (1 + exp(−x)). */
export function sigmoid(x: number): number {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

function moved(from: readonly number[], direction: readonly number[], size: number): number[] {
  return from.map((value, i) => value + size * (direction[i] as number));
}

/** The objective at some coefficients, with its gradient and its Hessian, the sign of which is turned. */
interface Evaluated {
  coefficients: number[];
  value: number;
  gradient: number[];
  hessian: number[][];
}

function evaluate(
  { covariates, outcomes, weights }: LogisticData,
  penalties: readonly number[],
  coefficients: readonly number[],
): Evaluated {
  const size = coefficients.length;
  const gradient = coefficients.map((b, i) => -(penalties[i] as number) * b);
  const hessian = penalties.map((penalty, i) => penalties.map((_, j) => (i === j ? penalty : 0)));
  let value = coefficients.reduce((sum, b, i) => sum - ((penalties[i] as number) * b * b) / 2, 0);
  for (let row = 0; row < weights.length; row++) {
    const weight = weights[row] as number;
    if (weight === 0) continue;
    const x = covariates.subarray(row * size, (row + 1) * size);
    let score = 0;
    for (let i = 0; i < size; i++) score += (x[i] as number) * (coefficients[i] as number);
    const outcome = outcomes[row] as number;
    // log p and log(1 − p) differ by the score.
    const logMiss = -(Math.max(score, 0) + Math.log1p(Math.exp(-Math.abs(score))));
    value += weight * (outcome * score + logMiss);
    const p = sigmoid(score);
    addOuter(hessian, x, weight * p * (1 - p));
    const slope = weight * (outcome - p);
    for (let i = 0; i < size; i++) gradient[i] = (gradient[i] as number) + slope * (x[i] as number);
  }
  return { coefficients: [...coefficients], value, gradient, hessian };
}

function addOuter(matrix: number[][], x: Float64Array, factor: number): void {
  for (let i = 0; i < x.length; i++) {
    const line = matrix[i] as number[];
    const scaled = factor * (x[i] as number);
    for (let j = 0; j < x.length; j++) line[j] = (line[j] as number) + scaled * (x[j] as number);
  }
}

/** The solution of a small positive definite system by elimination; null when it is singular. */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] | null {
  const size = right.length;
  const rows = matrix.map((row, i) => [...row, right[i] as number]);
  for (const [column, top] of rows.entries()) {
    const pivot = top[column] as number;
    if (!(pivot > 1e-300)) return null;
    for (const line of rows) {
      if (line === top) continue;
      const factor = (line[column] as number) / pivot;
      for (let k = column; k <= size; k++) line[k] = (line[k] as number) - factor * (top[k] as number);
    }
  }
  return rows.map((row, i) => (row[size] as number) / (row[i] as number));
}
