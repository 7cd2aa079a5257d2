/** Is the dual margin stable? Where Δ ends over a grid of margins and steepness, beside SimPO's γ. */
import type { SettingsOf } from "preftune/methods";
import {
  type Condition,
  type Interval,
  intervalText,
  type Measured,
  type MeasuredCondition,
  meanInterval,
  quantileInterval,
  type ResultRow,
  type Section,
  spreadInterval,
  tableOf,
} from "preftune/sweep";
import type { StudyDefinition } from "../definition.ts";

/** The study. */
export const margins: StudyDefinition = {
  title: "Margins: where Δ ends, and how stable that is",
  question:
    "SLIME's authors say that the dual margin (hard mh, soft ms, steepness κ) makes the boundary stable. The grid shows where the margin Δ ends, how many pairs are in which zone, and how much that differs between seeds; SimPO's target γ/β is beside it.",
  figures: ["margin", "margin_change", "chosen_change", "accuracy"],
  referenceOf: (name) => (name === standard ? null : standard),
  evaluations: "some",
  needsAnswers: false,
  seeds: { quick: 3, full: 6 },
  conditions,
  sections: (measured) => [zones(measured), spread(measured)],
};

const standard = "mh 1.5, ms 1, κ 2.5";

function conditions(): Condition[] {
  const grid = [1, 1.5, 2.5].flatMap((hard) =>
    [0.5, 1].flatMap((soft) => [2.5, 10].map((kappa) => ({ hard, soft, kappa }))),
  );
  return [
    ...grid.map(({ hard, soft, kappa }) => ({
      name: `mh ${hard}, ms ${soft}, κ ${kappa}`,
      changes: { objective: "slime", preset: "script", margin_hard: hard, margin_soft: soft, kappa },
    })),
    ...[0, 0.5, 1, 1.5].map((ratio) => ({
      name: `SimPO, γ/β ${ratio}`,
      changes: { objective: "simpo", preset: "authors", gamma_beta_ratio: ratio },
    })),
  ];
}

/** Share of the pairs with Δ at least `from` and below `to`. */
function shareBetween({ runs }: MeasuredCondition, from: number, to: number): Interval {
  const table = tableOf(runs, "margin").map((row) =>
    row.map((margin) => Number(margin >= from && margin < to)),
  );
  return meanInterval(table, { isShare: true });
}

function zones(measured: Measured): Section {
  const rows = [...measured.values()].flatMap((one) => {
    const settings = one.runs[0]?.settings;
    return settings?.objective === "slime" ? [{ one, zones: zonesOf(one, settings) }] : [];
  });
  const names = ["wrong way (Δ < 0)", "pushed (0 to ms)", "soft zone (ms to mh)", "done (from mh on)"];
  return {
    title: "Where the held-out pairs end",
    note: "Shares of the pairs by their margin Δ after training. From mh on the margin term is exactly 0.",
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
}

function zonesOf(one: MeasuredCondition, { margin_hard, margin_soft }: SettingsOf<"slime">): Interval[] {
  const soft = Math.min(Math.max(0, margin_soft), margin_hard);
  const bounds = [Number.NEGATIVE_INFINITY, 0, soft, margin_hard, Number.POSITIVE_INFINITY];
  return bounds.slice(1).map((to, i) => shareBetween(one, bounds[i] as number, to));
}

const quantiles = [0.1, 0.5, 0.9] as const;

function spread(measured: Measured): Section {
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
    title: "Spread of the margin",
    note:
      "Over pairs: quantiles of Δ. Over seeds: the standard deviation of the mean margin between training seeds, its interval from the χ² " +
      "distribution, which takes the seeds' means for normal; with three seeds it spans a factor of ten.",
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
}
