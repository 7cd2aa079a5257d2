/** Can four gradient products at the start say what training will cost? Predicted trade of likelihood against margin beside trained runs. */
import {
  type Condition,
  type Measured,
  numberText,
  type ReportSection,
  type ResultRow,
} from "preftune/sweep";
import { type ArcPoint, arcPoint, tradeBetween } from "../analyses/arc.ts";
import { overSets, type Point, type SetMean, tradeOf } from "../analyses/excess.ts";
import type { Asked, StudyDefinition } from "../definition.ts";
import { angles, type StartGeometry } from "../geometry.ts";
import { atRates, BASELINES, LIKELIHOOD, pointsOf } from "../points.ts";
import { estimateOf, meanText } from "../set-mean-text.ts";

/** The study. */
export const geometry: StudyDefinition = {
  title: "Geometry: what gradients at the start say of the trade",
  question:
    "To first order a run moves held-out likelihoods by a 2 × 2 matrix, the products of held-out and training gradients. Does that matrix, measured before training, predict how much margin a nat of chosen likelihood costs on these rows?",
  metrics: ["chosen_change", "margin_change", "rejected_change"],
  referenceOf: () => null,
  evaluations: "few",
  needsAnswers: false,
  dividesRows: true,
  // what is measured is what was trained, not a part that held-out pairs have chosen
  decides: ["final_scale"],
  values: () => ({ final_scale: 1 }),
  learningRates: [2.5e-4, 1e-3],
  seeds: { quick: 4, full: 8 },
  conditions,
  sections: (measured) => {
    const trades = tradesOf(measured);
    return [matrixSection(measured), tradeSection(trades)];
  },
};

function conditions({ learningRates = [] }: Asked): Condition[] {
  const methods = BASELINES.map(([name, changes]) => [name, changes] as const);
  // the start is the same for all methods of a set: it is measured beside one
  return atRates(methods, learningRates).map((condition, i) =>
    i === 0 ? { ...condition, extra: "geometry" } : condition,
  );
}

/** The start of each training set. */
function startsOf(measured: Measured): { set: number; start: StartGeometry }[] {
  return [...measured.values()].flatMap(({ runs }) =>
    runs.flatMap(({ trial, extra }) =>
      trial.extra === "geometry" ? [{ set: trial.seed, start: extra as StartGeometry }] : [],
    ),
  );
}

/** Ways from gradients to a direction. */
const predictions: readonly { name: string; at: (start: StartGeometry, angle: number) => ArcPoint }[] = [
  { name: "gradients", at: ({ products }, angle) => arcPoint(products, angle) },
  {
    name: "their signs",
    at: ({ signs }, angle) =>
      signs.find((point) => point.angle === angle) ?? { angle, chosen: Number.NaN, margin: Number.NaN },
  },
];

/** A ratio of held-out changes, which needs no length of a step. */
interface Quantity {
  name: "trade" | "gain";
  predicted(at: (angle: number) => ArcPoint): number;
  /** @param ends - of the baselines of one set */
  realised(ends: readonly Point[]): number;
}

const quantities: readonly Quantity[] = [
  { name: "trade", predicted: (at) => tradeBetween(at(0), at(45)), realised: tradeOf },
  {
    name: "gain",
    predicted: (at) => at(0).margin / at(0).chosen,
    realised: (ends) => {
      const end = ends.find(({ name }) => name === LIKELIHOOD);
      return end === undefined ? Number.NaN : end.margin / end.chosen;
    },
  },
];

/** A predicted and a realised ratio, by prediction and learning rate. */
export interface Trade {
  quantity: Quantity["name"];
  prediction: string;
  learningRate: number;
  predicted: SetMean;
  realised: SetMean;
  /** Predicted less realised, set by set. */
  difference: SetMean;
}

/** @param points - of trained baselines */
export function tradesIn(
  starts: readonly { set: number; start: StartGeometry }[],
  points: readonly Point[],
): Trade[] {
  const byRate = [...Map.groupBy(points, ({ learningRate }) => learningRate)];
  return quantities.flatMap((quantity) =>
    predictions.flatMap(({ name, at }) =>
      byRate.map(([learningRate, own]) => {
        const pairs = starts.flatMap(({ set, start }) => {
          const realised = quantity.realised(own.filter((point) => point.set === set));
          const predicted = quantity.predicted((angle) => at(start, angle));
          return Number.isFinite(realised) && Number.isFinite(predicted) ? [{ realised, predicted }] : [];
        });
        return {
          ...{ quantity: quantity.name, prediction: name, learningRate },
          predicted: overSets(pairs.map(({ predicted }) => predicted)),
          realised: overSets(pairs.map(({ realised }) => realised)),
          difference: overSets(pairs.map(({ predicted, realised }) => predicted - realised)),
        };
      }),
    ),
  );
}

function tradesOf(measured: Measured): Trade[] {
  return tradesIn(startsOf(measured), pointsOf(measured));
}

function matrixSection(measured: Measured): ReportSection {
  const starts = startsOf(measured);
  const small = (value: number): string => value.toPrecision(3).replace("-", "−");
  return {
    title: "The matrix at the start",
    note: "Products of mean gradients of l over all weights that move: held-out chosen and rejected (first) by training chosen and rejected (second), before any step. ρ: cosine of the training gradients of chosen and rejected; near 1 the matrix is all but singular and the two cannot be moved apart.",
    tables: [
      {
        columns: ["set", "c · c", "c · r", "r · c", "r · r", "ρ", "pairs, training and held out", "weights"],
        rows: starts.map(({ set, start: { products, trainingPairs, heldOutPairs, weights } }) => [
          String(set),
          small(products.chosenChosen),
          small(products.chosenRejected),
          small(products.rejectedChosen),
          small(products.rejectedRejected),
          numberText(products.trainMixed / Math.sqrt(products.trainChosen * products.trainRejected), 2),
          `${trainingPairs}, ${heldOutPairs}`,
          weights,
        ]),
      },
      {
        columns: ["set", "step along", ...angles.map((angle) => `chosen, margin at ${angle}°`)],
        rows: starts.flatMap(({ set, start }) =>
          predictions.map(({ name, at }) => {
            const whole = at(start, 0).chosen;
            return [
              String(set),
              name,
              ...angles.map((angle) => {
                const { chosen, margin } = at(start, angle);
                return `${numberText(chosen / whole, 2, true)}, ${numberText(margin / whole, 2, true)}`;
              }),
            ];
          }),
        ),
      },
    ],
    sentences: [
      "The predicted arc is in parts of what likelihood alone (0°) does to the chosen answers; 45° pulls and pushes alike.",
    ],
  };
}

/** Half of what tells the pilot's two data sets apart: 0.31 nats of margin per nat of chosen on helpful rows, 0 on harmless ones. */
const useful = 0.15;

/** What is to be concluded of a prediction. */
export function verdictOf({ difference }: Trade): "holds" | "does not hold" | "undecided" {
  const { low, high, sets } = difference;
  if (sets < 2) return "undecided";
  if (low > 0 || high < 0) return "does not hold";
  return (high - low) / 2 <= useful ? "holds" : "undecided";
}

function tradeSection(trades: readonly Trade[]): ReportSection {
  const text = (value: SetMean): string => meanText(value, 2);
  return {
    title: "Trade and gain, predicted and trained",
    note:
      `Trade: nats of margin that a nat of chosen costs. Predicted: from 0° to 45° on the arc. Trained: least squares through the baselines' ends, set by set. ` +
      `Gain: nats of margin that come with a nat of chosen where its likelihood alone is trained. Predicted: at 0°. Trained: the end of ${LIKELIHOOD}. Means over training sets, 95 % t intervals. ` +
      `A prediction holds if the interval of the difference holds 0 and reaches at most ${useful} to either side; one that is wider decides nothing.`,
    tables: [
      {
        columns: [
          "",
          "step along",
          "learning rate",
          "predicted",
          "trained",
          "predicted − trained",
          "sets",
          "verdict",
        ],
        rows: trades.map((trade) => [
          trade.quantity,
          trade.prediction,
          String(trade.learningRate),
          text(trade.predicted),
          text(trade.realised),
          text(trade.difference),
          trade.difference.sets,
          verdictOf(trade),
        ]),
      },
    ],
    sentences: trades.map(
      (trade) =>
        `${trade.quantity === "trade" ? "Trade" : "Gain"} along ${trade.prediction}, learning rate ${trade.learningRate}: predicted ${text(trade.predicted)}, trained ${text(trade.realised)} nats of margin per nat of chosen; the prediction ${verdictOf(trade) === "undecided" ? "is undecided" : verdictOf(trade)}.`,
    ),
    rows: trades.flatMap(({ quantity, prediction, learningRate, ...means }): ResultRow[] =>
      (
        [
          [`predicted_${quantity}`, means.predicted],
          [`trained_${quantity}`, means.realised],
          [`${quantity}_difference`, means.difference],
        ] as const
      ).map(([metric, mean]) => ({
        ...{ condition: `${prediction} @ ${learningRate}`, metric, unit: "nats per nat" },
        interval: estimateOf(mean),
      })),
    ),
  };
}
