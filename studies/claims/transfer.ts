/** Do values tuned on one preference set serve another? Regret against tuning anew, and of the defaults. */
import { presetsOf } from "preftune/methods";
import {
  type Condition,
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
  type Section,
  tableOf,
  type Values,
} from "preftune/sweep";
import type { StudyDefinition } from "../definition.ts";
import type { PairSet } from "../ground.ts";

/** SLIME's default preset. */
const [defaultPreset = ""] = presetsOf("slime");

/** The study. */
export const transfer: StudyDefinition = {
  title: "Transfer: values tuned on one preference set, used on another",
  question:
    "SLIME's values were tuned on one data set. Here each of a list of settings is trained on two sets; the one that is best on the first is used on the second and back, against tuning anew there and against the default.",
  figures: ["preference_loss", "chosen_change", "margin_change", "accuracy"],
  referenceOf: (name) => {
    const [set, setting] = name.split(": ");
    return setting === standard ? null : `${set}: ${standard}`;
  },
  evaluations: "few",
  needsAnswers: false,
  needsTwoSets: true,
  seeds: { quick: 2, full: 5 },
  conditions: ({ sets }) => sets.flatMap(conditionsOn),
  sections: (measured) => [regrets(measured)],
};

const standard = defaultPreset;

const settings: Readonly<Record<string, Values>> = {
  [standard]: { preset: standard },
  script: { preset: "script" },
  config: { preset: "config" },
  paper: { preset: "paper" },
  "λw 0.3": { preset: "script", lambda_w: 0.3 },
  "λl 0.01": { preset: "script", lambda_l: 0.01 },
  "mh 3, ms 2": { preset: "script", margin_hard: 3, margin_soft: 2 },
  "mh 0.75, ms 0.5": { preset: "script", margin_hard: 0.75, margin_soft: 0.5 },
};

function conditionsOn({ name, values }: PairSet): Condition[] {
  return Object.entries(settings).map(([setting, own]) => ({
    name: `${name}: ${setting}`,
    changes: { ...values, objective: "slime", ...own },
  }));
}

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

function regrets(measured: Measured): Section {
  const sets = [...new Set([...measured.keys()].map((name) => name.split(": ")[0] as string))];
  const all = criteria
    .flatMap(({ figure, sign }) =>
      sets.flatMap((target) =>
        sets
          .filter((source) => source !== target)
          .map((source) => regretOf(measured, { figure, sign, target, source })),
      ),
    )
    .filter((regret) => regret !== null);
  return {
    title: "Regret",
    note:
      "A setting is chosen on one half of a set's held-out pairs (every other one) and judged on the other half, so that being lucky in the choice does not count. " +
      "Regret: how much worse than the setting chosen on the target itself, above 0 is worse; nats (per token for the change of chosen). An interval that holds 0 does not tell the two apart.",
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
}

function regretText(interval: Interval, isSame: boolean): string {
  return isSame ? "0 (the same setting)" : intervalText(interval, "nats/token");
}

interface Asked {
  figure: FigureName;
  sign: 1 | -1;
  target: string;
  source: string;
}

function regretOf(measured: Measured, { figure, sign, target, source }: Asked): Regret | null {
  const on = (set: string, setting: string): PairTable => {
    const one: MeasuredCondition | undefined = measured.get(`${set}: ${setting}`);
    return tableOf(one?.runs ?? [], figure).map((row) => row.map((value) => sign * value));
  };
  const tuned = best((setting) => on(target, setting));
  const carried = best((setting) => on(source, setting));
  if (tuned === null || carried === null) return null;
  const regret = (setting: string): Interval =>
    differenceInterval(half(on(target, tuned), 1), half(on(target, setting), 1));
  return { target, source, figure, tuned, carried, ofCarried: regret(carried), ofDefault: regret(standard) };
}

/** The setting with the largest mean on the first half of the pairs; null when all of its runs failed. */
function best(tableOfSetting: (setting: string) => PairTable): string | null {
  let found: { setting: string; value: number } | null = null;
  for (const setting of Object.keys(settings)) {
    const value = plainMean(half(tableOfSetting(setting), 0));
    if (Number.isFinite(value) && (found === null || value > found.value)) found = { setting, value };
  }
  return found?.setting ?? null;
}
