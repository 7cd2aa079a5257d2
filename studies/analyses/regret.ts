/** What is lost where a setting tuned on one preference set is used on another, against tuning there and against the default. */
import {
  differenceInterval,
  type Estimate,
  half,
  intervalText,
  type Measured,
  type MeasuredCondition,
  type PairTable,
  plainMean,
  type ResultRow,
  TRIAL_METRICS,
  type TrialMetricName,
  tableOf,
} from "preftune/sweep";
import type { Analysis } from "../definition.ts";

/** What a setting is chosen by, and whether more of it is better. */
const criteria: readonly { metric: TrialMetricName; sign: 1 | -1 }[] = [
  { metric: "preference_loss", sign: -1 },
  { metric: "chosen_change", sign: 1 },
];

/** Regret on one set by one criterion: how much worse than the setting that was tuned there. */
interface Regret {
  target: string;
  source: string;
  metric: TrialMetricName;
  tuned: string;
  carried: string;
  ofCarried: Estimate;
  ofDefault: Estimate;
}

/** Regret on each set of what was tuned on the other, and of the setting that the others are compared with. */
export const regret: Analysis = (measured, referenceOf) => {
  const names = [...measured.keys()].map((name) => [name, ...name.split(": ")] as [string, string, string]);
  const sets = [...new Set(names.map(([, set]) => set))];
  const settings = [...new Set(names.map(([, , setting]) => setting))];
  const [, , standard = ""] = names.find(([name]) => referenceOf(name) === null) ?? [];
  const all = criteria
    .flatMap(({ metric, sign }) =>
      sets.flatMap((target) =>
        sets
          .filter((source) => source !== target)
          .map((source) => regretOf(measured, { settings, standard, metric, sign, target, source })),
      ),
    )
    .filter((regret) => regret !== null);
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
        rows: all.map((regret) => [
          TRIAL_METRICS[regret.metric].title,
          regret.target,
          regret.tuned,
          `${regret.carried} (${regret.source})`,
          regretText(regret.ofCarried, regret.carried === regret.tuned),
          regretText(regret.ofDefault, standard === regret.tuned),
        ]),
      },
    ],
    sentences: all.map(
      ({ metric, target, source, tuned, carried, ofCarried, ofDefault }) =>
        `${TRIAL_METRICS[metric].title} on ${target}: tuned there ${tuned}; tuned on ${source} ${carried}, regret ${regretText(ofCarried, carried === tuned)}; default ${standard}, regret ${regretText(ofDefault, standard === tuned)}.`,
    ),
    rows: all.flatMap((regret): ResultRow[] => [
      {
        condition: `${regret.source} to ${regret.target}`,
        metric: `regret_of_transfer_${regret.metric}`,
        unit: TRIAL_METRICS[regret.metric].unit,
        interval: regret.ofCarried,
      },
      {
        condition: regret.target,
        metric: `regret_of_default_${regret.metric}`,
        unit: TRIAL_METRICS[regret.metric].unit,
        interval: regret.ofDefault,
      },
    ]),
  };
};

function regretText(interval: Estimate, isSame: boolean): string {
  return isSame ? "0 (the same setting)" : intervalText(interval, "nats/token");
}

interface RegretQuestion {
  settings: readonly string[];
  /** The setting that the others are compared with. */
  standard: string;
  metric: TrialMetricName;
  sign: 1 | -1;
  target: string;
  source: string;
}

function regretOf(
  measured: Measured,
  { settings, standard, metric, sign, target, source }: RegretQuestion,
): Regret | null {
  const on = (set: string, setting: string): PairTable => {
    const condition: MeasuredCondition | undefined = measured.get(`${set}: ${setting}`);
    return tableOf(condition?.runs ?? [], metric).map((row) => row.map((value) => sign * value));
  };
  const tuned = best(settings, (setting) => on(target, setting));
  const carried = best(settings, (setting) => on(source, setting));
  if (tuned === null || carried === null) return null;
  const lossOf = (setting: string): Estimate =>
    differenceInterval(half(on(target, tuned), 1), half(on(target, setting), 1));
  return { target, source, metric, tuned, carried, ofCarried: lossOf(carried), ofDefault: lossOf(standard) };
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
