/** Where the margin Δ ends: fractions of pairs by zone, and spread over pairs and seeds. */
import type { SettingsOf } from "preftune/methods";
import {
  type Estimate,
  intervalText,
  type MeasuredCondition,
  meanInterval,
  promptsOf,
  quantileInterval,
  type ResultRow,
  spreadInterval,
  tableOf,
} from "preftune/sweep";
import type { Analysis } from "../definition.ts";

/** Fraction of the pairs with Δ at least `from` and below `to`. */
function shareBetween({ runs }: MeasuredCondition, from: number, to: number): Estimate {
  const table = tableOf(runs, "margin").map((row) =>
    row.map((margin) => Number(margin >= from && margin < to)),
  );
  return meanInterval(table, { isShare: true, prompts: promptsOf(runs) });
}

/** Fractions of the pairs between the margins of each condition. */
export const marginZones: Analysis = (measured) => {
  const rows = [...measured.values()].flatMap((condition) => {
    const settings = condition.runs[0]?.settings;
    return settings?.objective === "slime" ? [{ condition, zones: zonesOf(condition, settings) }] : [];
  });
  const names = ["wrong way (Δ < 0)", "pushed (0 to ms)", "soft zone (ms to mh)", "done (from mh on)"];
  return {
    tables: [
      {
        columns: ["", ...names],
        rows: rows.map(({ condition, zones: shares }) => [
          condition.name,
          ...shares.map((share) => intervalText(share, "share")),
        ]),
      },
    ],
    rows: rows.flatMap(({ condition, zones: shares }) =>
      shares.map(
        (interval, i): ResultRow => ({
          condition: condition.name,
          metric: `zone: ${names[i]}`,
          unit: "share",
          interval,
        }),
      ),
    ),
  };
};

function zonesOf(
  condition: MeasuredCondition,
  { margin_hard, margin_soft }: SettingsOf<"slime">,
): Estimate[] {
  const soft = Math.min(Math.max(0, margin_soft), margin_hard);
  const bounds = [Number.NEGATIVE_INFINITY, 0, soft, margin_hard, Number.POSITIVE_INFINITY];
  return bounds.slice(1).map((to, i) => shareBetween(condition, bounds[i] as number, to));
}

const quantiles = [0.1, 0.5, 0.9] as const;

/** Quantiles over pairs, and the deviation between seeds. */
export const marginSpread: Analysis = (measured) => {
  const rows = [...measured.values()]
    .filter(({ runs }) => runs.length > 0)
    .map((condition) => {
      const table = tableOf(condition.runs, "margin");
      const bySeed = table.map((row) => row.reduce((a, b) => a + b, 0) / row.length);
      const byPair = table.map((row) => Array.from(row, (margin) => [margin]));
      return {
        condition,
        spread: spreadInterval(bySeed, table[0]?.length ?? 0),
        ends: quantiles.map((p) =>
          quantileInterval(byPair, p, { draws: 300, prompts: promptsOf(condition.runs) }),
        ),
      };
    });
  return {
    tables: [
      {
        columns: ["", ...quantiles.map((p) => `${100 * p} % of pairs below`), "deviation between seeds"],
        rows: rows.map(({ condition, ends, spread: deviation }) => [
          condition.name,
          ...ends.map((end) => intervalText(end, "nats/token")),
          intervalText(deviation, "nats/token", { isSigned: false }),
        ]),
      },
    ],
    intervals: [
      {
        title: "Deviation of the mean margin between seeds",
        unit: "nats/token",
        rows: rows.map(({ condition, spread: interval }) => ({ name: condition.name, interval })),
      },
    ],
    rows: rows.map(({ condition, spread: interval }) => ({
      condition: condition.name,
      metric: "margin_deviation_between_seeds",
      unit: "nats/token",
      interval,
    })),
  };
};
