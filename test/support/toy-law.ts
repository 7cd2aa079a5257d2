/** Laws of completions over three tokens that can be enumerated: every completion with its probability and its gradient. */
import { pattern } from "./patterned.ts";

/** A completion. P: the law's parameters. */
export interface Outcome {
  probability: number;
  /** (tokens) log-probs. */
  logps: number[];
  /** (tokens, P): their gradients. */
  scores: number[][];
}

/** A law: a softmax over three tokens for each sequence of tokens before. */
export interface ToyLaw {
  /** Tokens at most. */
  longest: number;
  /** Whether the third token ends a completion. */
  ends: boolean;
}

/** How many parameters the law has. */
export function parametersOf({ longest, ends }: ToyLaw): number {
  const branches = ends ? 2 : 3;
  return Array.from({ length: longest }, (_, t) => 3 * branches ** t).reduce((sum, n) => sum + n, 0);
}

/** Parameters that look random, the same for the same name. */
export function toyParameters(law: ToyLaw, name: string): number[] {
  return Array.from(pattern(name, parametersOf(law)), (x) => 2 * x);
}

/** All completions under the parameters `theta`. */
export function outcomesOf(law: ToyLaw, theta: readonly number[]): Outcome[] {
  const branches = law.ends ? 2 : 3;
  const found: Outcome[] = [];
  const extend = (before: Outcome, depth: number, row: number): void => {
    const logits = [0, 1, 2].map((k) => theta[row + k] ?? Number.NaN);
    const total = Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0));
    const probabilities = logits.map((x) => Math.exp(x - total));
    for (const [token, logit] of logits.entries()) {
      const score = theta.map((_, i) =>
        i < row || i > row + 2 ? 0 : Number(i === row + token) - (probabilities[i - row] ?? 0),
      );
      const after = {
        probability: before.probability * (probabilities[token] ?? 0),
        logps: [...before.logps, logit - total],
        scores: [...before.scores, score],
      };
      const isOver = depth + 1 === law.longest || (law.ends && token === 2);
      if (isOver) found.push(after);
      else extend(after, depth + 1, childRow(row, depth, token, branches));
    }
  };
  extend({ probability: 1, logps: [], scores: [] }, 0, 0);
  return found;
}

/** First parameter of the softmax after `token`: rows lie level by level. */
function childRow(row: number, depth: number, token: number, branches: number): number {
  const first = (level: number): number =>
    Array.from({ length: level }, (_, t) => 3 * branches ** t).reduce((sum, n) => sum + n, 0);
  const place = (row - first(depth)) / 3;
  return first(depth + 1) + 3 * (place * branches + token);
}

/** Σ of vectors, each times its weight; of length `size`. */
export function combined(parts: readonly (readonly [number, readonly number[]])[], size: number): number[] {
  const sum = new Array<number>(size).fill(0);
  for (const [weight, vector] of parts) {
    for (const [i, x] of vector.entries()) sum[i] = (sum[i] ?? 0) + weight * x;
  }
  return sum;
}

/** The gradient of `value` at `theta` by central differences. */
export function gradientOf(value: (theta: readonly number[]) => number, theta: readonly number[]): number[] {
  const step = 1e-5;
  return theta.map((_, i) => {
    const moved = (by: number) => value(theta.map((x, k) => (k === i ? x + by : x)));
    return (moved(step) - moved(-step)) / (2 * step);
  });
}
