/** What is lost where a setting tuned on one preference set is used on another, against tuning there and against the default. */
import {
  differenceInterval,
  FIGURES,
  type FigureName,
  half,
  type Interval,
  intervalText,
  type Measured,
  type MeasuredCondition,
  type PairTable,
  plainMean,
  type ResultRow,
  tableOf,
} from "preftune/sweep";
import type { Analysis } from "../definition.ts";

/** What a setting is chosen by, and whether more of it is better. */
const criteria: readonly { figure: FigureName; sign: 1 | -1 }[] = [
  { figure: "preference_loss", sign: -1 },
  { figure: "chosen_change", sign: 1 },
];

/** Regret on one set by one criterion: how much worse than the setting that was tuned there. */
interface Regret {
  target: string;
  source: string;
  figure: FigureName;
  tuned: string;
  carried: string;
  ofCarried: Interval;
  ofDefault: Interval;
}

/** Regret on each set of what was tuned on the other, and of the setting that the others are compared with. */
export const regret: Analysis = (measured, referenceOf) => {
  const names = [...measured.keys()].map((name) => [name, ...name.split(": ")] as [string, string, string]);
  const sets = [...new Set(names.map(([, set]) => set))];
  const settings = [...new Set(names.map(([, , setting]) => setting))];
  const [, , standard = ""] = names.find(([name]) => referenceOf(name) === null) ?? [];
  const all = criteria
    .flatMap(({ figure, sign }) =>
      sets.flatMap((target) =>
        sets
          .filter((source) => source !== target)
          .map((source) => regretOf(measured, { settings, standard, figure, sign, target, source })),
      ),
    )
    .filter((one) => one !== null);
  return {
    tables: [
      {
        columns: [
          "chosen by",
          "on",
          "tuned there",
          "tuned on the other set",
          "regret of the other's",
          "regret of the default",
        ],
        rows: all.map((one) => [
          FIGURES[one.figure].title,
          one.target,
          one.tuned,
          `${one.carried} (${one.source})`,
          regretText(one.ofCarried, one.carried === one.tuned),
          regretText(one.ofDefault, standard === one.tuned),
        ]),
      },
    ],
    said: all.map(
      ({ figure, target, source, tuned, carried, ofCarried, ofDefault }) =>
        `${FIGURES[figure].title} on ${target}: tuned there ${tuned}; tuned on ${source} ${carried}, regret ${regretText(ofCarried, carried === tuned)}; default ${standard}, regret ${regretText(ofDefault, standard === tuned)}.`,
    ),
    rows: all.flatMap((one): ResultRow[] => [
      {
        condition: `${one.source} to ${one.target}`,
        figure: `regret_of_transfer_${one.figure}`,
        unit: FIGURES[one.figure].unit,
        interval: one.ofCarried,
      },
      {
        condition: one.target,
        figure: `regret_of_default_${one.figure}`,
        unit: FIGURES[one.figure].unit,
        interval: one.ofDefault,
      },
    ]),
  };
};

function regretText(interval: Interval, isSame: boolean): string {
  return isSame ? "0 (the same setting)" : intervalText(interval, "nats/token");
}

interface Asked {
  settings: readonly string[];
  /** The setting that the others are compared with. */
  standard: string;
  figure: FigureName;
  sign: 1 | -1;
  target: string;
  source: string;
}

function regretOf(
  measured: Measured,
  { settings, standard, figure, sign, target, source }: Asked,
): Regret | null {
  const on = (set: string, setting: string): PairTable => {
    const one: MeasuredCondition | undefined = measured.get(`${set}: ${setting}`);
    return tableOf(one?.runs ?? [], figure).map((row) => row.map((value) => sign * value));
  };
  const tuned = best(settings, (setting) => on(target, setting));
  const carried = best(settings, (setting) => on(source, setting));
  if (tuned === null || carried === null) return null;
  const lossOf = (setting: string): Interval =>
    differenceInterval(half(on(target, tuned), 1), half(on(target, setting), 1));
  return { target, source, figure, tuned, carried, ofCarried: lossOf(carried), ofDefault: lossOf(standard) };
}

/** The setting with the largest mean on the first half of the pairs; null when all of its runs failed. */
function best(settings: readonly string[], tableOfSetting: (setting: string) => PairTable): string | null {
  let found: { setting: string; value: number } | null = null;
  for (const setting of settings) {
    const value = plainMean(half(tableOfSetting(setting), 0));
    if (Number.isFinite(value) && (found === null || value > found.value)) found = { setting, value };
  }
  return found?.setting ?? null;
}
