/** Learning rates: what is tried for each method, and which is taken. */
import { type Measured, plainMean, tableOf } from "preftune/sweep";

/** The conditions that try `rates` for the method `name`. */
export function searchedRates(name: string, rates: readonly number[]): { condition: string; rate: number }[] {
  return rates.map((rate) => ({ condition: `search ${name} at ${rate}`, rate }));
}

/** The rate with which the method earned most on held-out prompts; null where none of its runs came to an end. */
export function chosenRate(searched: Measured, name: string): number | null {
  let best: { rate: number; reward: number } | null = null;
  for (const [condition, { runs }] of searched) {
    const [method, rate] = condition.replace(/^search /, "").split(" at ");
    if (method !== name || runs.length === 0) continue;
    const reward = plainMean(tableOf(runs, "reward"));
    if (Number.isFinite(reward) && (best === null || reward > best.reward))
      best = { rate: Number(rate), reward };
  }
  return best?.rate ?? null;
}
