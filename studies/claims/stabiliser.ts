/** Does the stabiliser keep rejected tokens from collapsing? With and without it, over λl and δ, beside the implied floor. */
import {
  type Condition,
  type Interval,
  intervalText,
  type Measured,
  type MeasuredCondition,
  meanInterval,
  type ResultRow,
  type Section,
} from "preftune/sweep";
import type { StudyDefinition } from "../definition.ts";
import { floorsOf, floorText, rejectedQuantile } from "../floors.ts";

/** The study. */
export const stabiliser: StudyDefinition = {
  title: "Stabiliser: what becomes of rejected tokens",
  question:
    "SLIME's authors say that its token-level stabiliser (weight λl, knee −δ) prevents the collapse of rejected tokens and of formatting with them. Without it nothing but the end of training holds a rejected token.",
  figures: [
    "rejected_change",
    "chosen_change",
    "margin_change",
    "distinct_2",
    "ended_properly",
    "malformed",
    "accuracy",
  ],
  referenceOf: (name) => (name === without ? null : without),
  evaluations: "few",
  needsAnswers: true,
  seeds: { quick: 3, full: 6 },
  conditions,
  sections: (measured) => [tokens(measured)],
};

const without = "λl 0";

function conditions(): Condition[] {
  const values = [0.0005, 0.1].flatMap((lambda_l) => [0.5, 1.25, 2.5].map((delta) => ({ lambda_l, delta })));
  return [
    { name: without, changes: { objective: "slime", preset: "script", lambda_l: 0 } },
    ...values.map(({ lambda_l, delta }) => ({
      name: `λl ${lambda_l}, δ ${delta}`,
      changes: { objective: "slime", preset: "script", lambda_l: lambda_l, delta },
    })),
  ];
}

const shares = [0.001, 0.01, 0.05, 0.5] as const;

function tokens(measured: Measured): Section {
  const all = [...measured.values()].filter(({ runs }) => runs.length > 0);
  const rows = all.map((one) => ({
    one,
    floors: floorsOf(one),
    quantiles: shares.map((p) => rejectedQuantile(one, p)),
  }));
  return {
    title: "Rejected tokens: log-probability at the end, and the implied floor",
    note:
      "The floor is where the stabiliser balances the margin term's push on a token of an answer of mean length (docs/guarantees.md): at the " +
      "push of the margin that the held-out pairs began with, and of the one they ended with. It is where training would hold a token that " +
      "nothing else moves, not a bound: tokens below it at the start, or moved by what other tokens do, can lie lower.",
    tables: [
      {
        columns: [
          "",
          ...shares.map((p) => `${100 * p} % of tokens below, nats`),
          "floor at the first margin, nats",
          "floor at the last",
          "rejected tokens below the first floor",
        ],
        rows: rows.map(({ one, floors, quantiles }) => [
          one.name,
          ...quantiles.map((interval) => intervalText(interval, "nats/token", { isSigned: false })),
          floorText(floors.first),
          floorText(floors.last),
          Number.isFinite(floors.first.value) ? intervalText(below(one, floors.first.value), "share") : "–",
        ]),
      },
    ],
    intervals: [
      {
        title: "One rejected token in a hundred is less likely than",
        unit: "nats",
        rows: rows.map(({ one, quantiles }) => ({ name: one.name, interval: quantiles[1] as Interval })),
      },
    ],
    said: rows.map(({ one, floors, quantiles }) => {
      const floor = Number.isFinite(floors.first.value)
        ? `the implied floor is ${floorText(floors.first)} nats at the first margin`
        : "there is no implied floor";
      const low = intervalText(quantiles[1] as Interval, "nats/token", { isSigned: false });
      return `${one.name}: ${floor}; 1 % of the rejected tokens are below ${low} nats.`;
    }),
    rows: rows.flatMap(({ one, floors, quantiles }): ResultRow[] => {
      const row = (figure: string, interval: Interval): ResultRow => ({
        condition: one.name,
        figure,
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
}

/** Share of each pair's rejected tokens below `floor`. */
function below({ runs }: MeasuredCondition, floor: number): Interval {
  const table = runs.map(({ after }) =>
    Float64Array.from(
      after,
      ({ rejected }) => rejected.filter((logp) => logp < floor).length / rejected.length,
    ),
  );
  return meanInterval(table, { isShare: true });
}
