/** Learning rates: what is tried for each method, which is taken, and the report's section of them. */
import {
  estimate,
  intervalText,
  type Measured,
  plainMean,
  type ReportSection,
  type ResultRow,
  tableOf,
} from "preftune/sweep";

/** The conditions that try `rates` for the method `name`. */
export function searchedRates(name: string, rates: readonly number[]): { condition: string; rate: number }[] {
  return rates.map((rate) => ({ condition: `search ${name} at ${rate}`, rate }));
}

/** A condition of {@link searchedRates}, taken apart again. */
function partsOf(condition: string): { name: string; rate: number } {
  const [name = "", rate] = condition.replace(/^search /, "").split(" at ");
  return { name, rate: Number(rate) };
}

/** The rate with which the method earned most on held-out prompts; null where none of its runs came to an end. */
export function chosenRate(searched: Measured, name: string): number | null {
  let best: { rate: number; reward: number } | null = null;
  for (const [condition, { runs }] of searched) {
    const { name: method, rate } = partsOf(condition);
    if (method !== name || runs.length === 0) continue;
    const reward = plainMean(tableOf(runs, "reward"));
    if (Number.isFinite(reward) && (best === null || reward > best.reward)) best = { rate, reward };
  }
  return best?.rate ?? null;
}

/** What each method earned with each rate, and the rate that is taken; none without a search. */
export function ratesSections(searched: Measured | null): ReportSection[] {
  if (searched === null) return [];
  const conditions = [...searched.values()].map((condition) => ({ condition, ...partsOf(condition.name) }));
  const rates = [...new Set(conditions.map(({ rate }) => rate))];
  const rows = [...Map.groupBy(conditions, ({ name }) => name)].map(([name, own]) => [
    name,
    ...rates.map((rate) => {
      const found = own.find((one) => one.rate === rate)?.condition;
      return found === undefined || found.runs.length === 0
        ? "–"
        : intervalText(estimate(found, "reward"), "share");
    }),
    String(chosenRate(searched, name) ?? "–"),
  ]);
  return [
    {
      title: "Learning rates",
      note: "Searched on seeds that the comparison does not use: reward on held-out prompts at the end. The rate that earned most is taken.",
      tables: [{ columns: ["", ...rates.map((rate) => `at ${rate}`), "taken"], rows }],
      rows: conditions
        .filter(({ condition }) => condition.runs.length > 0)
        .map(
          ({ condition }): ResultRow => ({
            condition: condition.name,
            metric: "reward",
            unit: "reward",
            interval: estimate(condition, "reward"),
          }),
        ),
    },
  ];
}
