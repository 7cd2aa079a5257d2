/** Log-probs of rejected tokens after training, beside the floor that the stabiliser implies. */
import {
  type Estimate,
  intervalText,
  type MeasuredCondition,
  meanInterval,
  promptsOf,
  type ResultRow,
} from "preftune/sweep";
import type { Analysis } from "../definition.ts";
import { floorsOf, floorText, rejectedQuantile } from "../floors.ts";

const shares = [0.001, 0.01, 0.05, 0.5] as const;

/** Quantiles and floors of each condition. */
export const rejectedTokens: Analysis = (measured) => {
  const all = [...measured.values()].filter(({ runs }) => runs.length > 0);
  const rows = all.map((condition) => ({
    condition,
    floors: floorsOf(condition),
    quantiles: shares.map((p) => rejectedQuantile(condition, p)),
  }));
  return {
    tables: [
      {
        columns: [
          "",
          ...shares.map((p) => `${100 * p} % of tokens below, nats`),
          "floor at the first margin, nats",
          "floor at the last",
          "rejected tokens below the first floor",
        ],
        rows: rows.map(({ condition, floors, quantiles }) => [
          condition.name,
          ...quantiles.map((interval) => intervalText(interval, "nats/token", { isSigned: false })),
          floorText(floors.first),
          floorText(floors.last),
          Number.isFinite(floors.first.value)
            ? intervalText(below(condition, floors.first.value), "share")
            : "–",
        ]),
      },
    ],
    intervals: [
      {
        title: "One rejected token in a hundred is less likely than",
        unit: "nats",
        rows: rows.map(({ condition, quantiles }) => ({
          name: condition.name,
          interval: quantiles[1] as Estimate,
        })),
      },
    ],
    sentences: rows.map(({ condition, floors, quantiles }) => {
      const floor = Number.isFinite(floors.first.value)
        ? `the implied floor is ${floorText(floors.first)} nats at the first margin`
        : "there is no implied floor";
      const low = intervalText(quantiles[1] as Estimate, "nats/token", { isSigned: false });
      return `${condition.name}: ${floor}; 1 % of the rejected tokens are below ${low} nats.`;
    }),
    rows: rows.flatMap(({ condition, floors, quantiles }): ResultRow[] => {
      const row = (metric: string, interval: Estimate): ResultRow => ({
        condition: condition.name,
        metric,
        unit: "nats",
        interval,
      });
      return [
        ...quantiles.map((interval, i) => row(`rejected_token_quantile_${shares[i]}`, interval)),
        ...(Number.isFinite(floors.first.value)
          ? [row("implied_floor_first", floors.first), row("implied_floor_last", floors.last)]
          : []),
      ];
    }),
  };
};

/** Fraction of each pair's rejected tokens below `floor`. */
function below({ runs }: MeasuredCondition, floor: number): Estimate {
  const table = runs.map(({ after }) =>
    Float64Array.from(
      after,
      ({ rejected }) => rejected.filter((logp) => logp < floor).length / rejected.length,
    ),
  );
  return meanInterval(table, { isShare: true, prompts: promptsOf(runs) });
}
