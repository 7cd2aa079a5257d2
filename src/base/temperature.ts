/** Temperatures of a draw: below which one nothing is drawn. */

/**
 * Below this a temperature counts as 0: the most likely token is taken. What float32 distinguishes in logits of 10 is 1e-6, so
 * that so cold a draw would only choose among rounding errors.
 */
const greedyBelow = 1e-5;

/** Whether decoding is greedy at this temperature. */
export function isGreedyAt(temperature: number): boolean {
  return temperature < greedyBelow;
}
