/** What is lost where a setting tuned on one preference set is used on another, against tuning there and against the default. */
import {
  differenceInterval,
  type Estimate,
  half,
  intervalText,
  type Measured,
  type MeasuredCondition,
  type MeasuredRun,
  type PairTable,
  plainMean,
  promptsOf,
  type ResultRow,
  TRIAL_METRICS,
  type TrialMetricName,
  tableOf,
  twinsOf,
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
  const on = (set: string): MeasuredCondition[] =>
    settings.flatMap((setting) => {
      const condition = measured.get(`${set}: ${setting}`);
      return condition === undefined || condition.runs.length === 0 ? [] : [{ ...condition, name: setting }];
    });
  const tuned = best(on(target), { metric, sign });
  const carried = best(on(source), { metric, sign });
  if (tuned === null || carried === null) return null;
  const lossOf = (setting: string): Estimate => {
    const [condition, base] = [tuned.name, setting].map((name) => measured.get(`${target}: ${name}`));
    const twins = condition && base ? twinsOf({ condition, base }) : [];
    const prompts = promptsOf(twins.map(({ run }) => run));
    const values = (runs: readonly MeasuredRun[]): PairTable =>
      half(signed(tableOf(runs, metric), sign), 1, prompts);
    return differenceInterval(values(twins.map(({ run }) => run)), values(twins.map(({ twin }) => twin)), {
      prompts: prompts?.filter((prompt) => prompt % 2 === 1),
    });
  };
  return {
    ...{ target, source, metric, tuned: tuned.name, carried: carried.name },
    ...{ ofCarried: lossOf(carried.name), ofDefault: lossOf(standard) },
  };
}

function signed(table: PairTable, sign: 1 | -1): PairTable {
  return table.map((row) => row.map((value) => sign * value));
}

/** The condition with the largest mean on the first half of the pairs, over the seeds that all have; null where there are none. */
function best(
  conditions: readonly MeasuredCondition[],
  { metric, sign }: Pick<RegretQuestion, "metric" | "sign">,
): MeasuredCondition | null {
  const seeds = conditions.map(({ runs }) => new Set(runs.map(({ trial }) => trial.seed)));
  let found: { condition: MeasuredCondition; value: number } | null = null;
  for (const condition of conditions) {
    const runs = condition.runs.filter(({ trial }) => seeds.every((own) => own.has(trial.seed)));
    const value = plainMean(half(signed(tableOf(runs, metric), sign), 0, promptsOf(runs)));
    if (Number.isFinite(value) && (found === null || value > found.value)) found = { condition, value };
  }
  return found?.condition ?? null;
}
