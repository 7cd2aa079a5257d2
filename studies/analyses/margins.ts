/** Where the margin Δ ends: shares of pairs by zone, and spread over pairs and seeds. */
import type { SettingsOf } from "preftune/methods";
import {
  type Interval,
  intervalText,
  type MeasuredCondition,
  meanInterval,
  quantileInterval,
  type ResultRow,
  spreadInterval,
  tableOf,
} from "preftune/sweep";
import type { Analysis } from "../definition.ts";

/** Share of the pairs with Δ at least `from` and below `to`. */
function shareBetween({ runs }: MeasuredCondition, from: number, to: number): Interval {
  const table = tableOf(runs, "margin").map((row) =>
    row.map((margin) => Number(margin >= from && margin < to)),
  );
  return meanInterval(table, { isShare: true });
}

/** Shares of the pairs between the margins of each condition. */
export const marginZones: Analysis = (measured) => {
  const rows = [...measured.values()].flatMap((one) => {
    const settings = one.runs[0]?.settings;
    return settings?.objective === "slime" ? [{ one, zones: zonesOf(one, settings) }] : [];
  });
  const names = ["wrong way (Δ < 0)", "pushed (0 to ms)", "soft zone (ms to mh)", "done (from mh on)"];
  return {
    tables: [
      {
        columns: ["", ...names],
        rows: rows.map(({ one, zones: shares }) => [
          one.name,
          ...shares.map((share) => intervalText(share, "share")),
        ]),
      },
    ],
    rows: rows.flatMap(({ one, zones: shares }) =>
      shares.map(
        (interval, i): ResultRow => ({
          condition: one.name,
          figure: `zone: ${names[i]}`,
          unit: "share",
          interval,
        }),
      ),
    ),
  };
};

function zonesOf(one: MeasuredCondition, { margin_hard, margin_soft }: SettingsOf<"slime">): Interval[] {
  const soft = Math.min(Math.max(0, margin_soft), margin_hard);
  const bounds = [Number.NEGATIVE_INFINITY, 0, soft, margin_hard, Number.POSITIVE_INFINITY];
  return bounds.slice(1).map((to, i) => shareBetween(one, bounds[i] as number, to));
}

const quantiles = [0.1, 0.5, 0.9] as const;

/** Quantiles over pairs, and the deviation between seeds. */
export const marginSpread: Analysis = (measured) => {
  const rows = [...measured.values()]
    .filter(({ runs }) => runs.length > 0)
    .map((one) => {
      const table = tableOf(one.runs, "margin");
      const bySeed = table.map((row) => row.reduce((a, b) => a + b, 0) / row.length);
      const byPair = table.map((row) => Array.from(row, (margin) => [margin]));
      return {
        one,
        spread: spreadInterval(bySeed, table[0]?.length ?? 0),
        ends: quantiles.map((p) => quantileInterval(byPair, p, { draws: 300 })),
      };
    });
  return {
    tables: [
      {
        columns: ["", ...quantiles.map((p) => `${100 * p} % of pairs below`), "deviation between seeds"],
        rows: rows.map(({ one, ends, spread: deviation }) => [
          one.name,
          ...ends.map((end) => intervalText(end, "nats/token")),
          intervalText(deviation, "nats/token", { isSigned: false }),
        ]),
      },
    ],
    intervals: [
      {
        title: "Deviation of the mean margin between seeds",
        unit: "nats/token",
        rows: rows.map(({ one, spread: interval }) => ({ name: one.name, interval })),
      },
    ],
    rows: rows.map(({ one, spread: interval }) => ({
      condition: one.name,
      figure: "margin_deviation_between_seeds",
      unit: "nats/token",
      interval,
    })),
  };
};
