/** Learning rates: what is tried for each method, which is taken, and the report's section of them. */
import {
  estimate,
  intervalText,
  type Measured,
  type PairTable,
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

/**
 * The lowest rate with which the method earned, on held-out prompts, within one standard error of what it earned with the best of them (the
 * rule of Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 1984, 3.4.3): the way from the start grows with the
 * rate, and one that is higher by chance would be taken for the method's own. Null where none of its runs came to an end.
 */
export function chosenRate(searched: Measured, name: string): number | null {
  const tried = [...searched]
    .map(([condition, { runs }]) => ({ ...partsOf(condition), ...meanAndError(tableOf(runs, "reward")) }))
    .filter((one) => one.name === name && Number.isFinite(one.mean))
    .sort((a, b) => b.mean - a.mean);
  const [best] = tried;
  if (best === undefined) return null;
  return Math.min(...tried.filter(({ mean }) => mean >= best.mean - best.error).map(({ rate }) => rate));
}

/** The mean of all values, and its standard error; 0 where one value has none. */
function meanAndError(table: PairTable): { mean: number; error: number } {
  const values = table.flatMap((row) => [...row]);
  const mean = plainMean(table);
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, error: values.length < 2 ? 0 : Math.sqrt(squares / (values.length - 1) / values.length) };
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
      note: "Searched on seeds that the comparison does not use: reward on held-out prompts at the end. Taken is the lowest rate that earned within one standard error of the most.",
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
