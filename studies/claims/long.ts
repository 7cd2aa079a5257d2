/** Long runs: three passes at ordinary and high learning rates, with sampled answers. Do answers collapse, and does anything tell it before? */
import {
  breachesOf,
  type Chart,
  type Condition,
  type ConfigValues,
  inCharts,
  type Measured,
  type MeasuredRun,
  type MetricRow,
  numberText,
  plainMean,
  type ReportSection,
  SAMPLED_THRESHOLDS,
} from "preftune/sweep";
import {
  type Course,
  earlySign,
  firstStep,
  type Reading,
  type Sign,
  warningsOf,
  warns,
} from "../analyses/onset.ts";
import type { Asked, StudyDefinition } from "../definition.ts";
import { atRates, methodOf, type NamedValues, rateOf } from "../points.ts";

/** What the others are compared with, at each learning rate. */
const reference = "SLIME balanced";

/** The study. */
export const long: StudyDefinition = {
  title: "Long runs: do answers collapse, and what tells it before?",
  question:
    "Three passes over the pairs, at an ordinary and at a high learning rate, the model's answers sampled all along. Does any method ruin them, and do drift and tail of given answers show it before the sampled ones do?",
  metrics: [
    ...(["margin_change", "accuracy", "chosen_change", "drift", "tail", "other_text"] as const),
    ...(["repetition", "distinct_2", "ended_properly", "malformed"] as const),
  ],
  referenceOf: (name) => {
    const base = atRates([[reference, {}]], [rateOf(name)])[0]?.name ?? "";
    return base === name ? null : base;
  },
  evaluations: "some",
  needsAnswers: true,
  canChoose: true,
  learningRates: [5e-4, 2e-3],
  seeds: { quick: 2, full: 4 },
  conditions,
  // answers are sampled in each run, and to its end
  decides: ["watch_prompts", "watch_action", "final_scale"],
  values: ({ budget, prompts, hasConfig = false }) => ({
    ...{ num_train_epochs: 3, watch_action: "warn", final_scale: 1 },
    ...(prompts === null ? ownSize(budget, hasConfig) : {}),
  }),
  sections: (measured) => {
    const all = runsOf(measured);
    const runs = all.filter(({ course }) => course.length > 0);
    const lost = [
      ...[...measured.values()].flatMap(({ name, failed }) =>
        failed.map(({ seed }) => ({ condition: name, seed })),
      ),
      ...all.filter((run) => !runs.includes(run)),
    ];
    return [coursesSection(measured), orderSection(runs), signsSection(runs, lost)];
  },
};

/** Of rows of the user's own: steps between evaluations, each of which samples answers, and rows where no configuration says how many. */
function ownSize(budget: Asked["budget"], hasConfig: boolean): ConfigValues {
  const isQuick = budget === "quick";
  return {
    eval_steps: isQuick ? 25 : 50,
    ...(hasConfig ? {} : { max_train_rows: isQuick ? 400 : null }),
  };
}

const methods: readonly NamedValues[] = [
  [reference, { objective: "slime", preset: "balanced" }],
  ["SLIME without anchor", { objective: "slime", preset: "balanced", lambda_w: 0 }],
  ["SLIME margins alone", { objective: "slime", preset: "balanced", lambda_w: 0, lambda_l: 0 }],
  ["start anchor η 3", { objective: "slime", preset: "balanced", lambda_w: 0, lambda_start: 3 }],
  ["chosen floor 0", { objective: "slime", preset: "balanced", chosen_floor: 0 }],
  ["DPO", { objective: "dpo" }],
  ["RPO α 0.3", { objective: "dpo", loss_type: ["sigmoid", "sft"], loss_weights: [1, 0.3] }],
  ["SimPO", { objective: "simpo", preset: "authors" }],
];

/** What the full budget has besides. */
const more: readonly NamedValues[] = [
  ["SLIME script", { objective: "slime", preset: "script" }],
  ["SLIME without stabiliser", { objective: "slime", preset: "balanced", lambda_l: 0 }],
  ["DPO β 0.01", { objective: "dpo", beta: 0.01 }],
  ["ORPO", { objective: "orpo" }],
];

function conditions({ budget, learningRates = [] }: Asked): Condition[] {
  return atRates([...methods, ...(budget === "full" ? more : [])], learningRates);
}

/** What can be read off given answers, with bounds as docs/displacement.md takes them for examples. */
const signs: readonly Sign[] = [
  { name: "drift above 0.5 nats", of: ({ drift }) => drift, bound: 0.5 },
  { name: "tail below −3 nats", of: ({ tail }) => -tail, bound: 3 },
  { name: "chosen answers below their start", of: ({ chosen }) => -chosen, bound: 0 },
  { name: "chosen answers 1 nat below their start", of: ({ chosen }) => -chosen, bound: 1 },
];

/** The same, and the margin, as quantities: the more, the worse. */
const quantities: readonly Omit<Sign, "bound">[] = [
  { name: "drift", of: ({ drift }) => drift },
  { name: "tail", of: ({ tail }) => -tail },
  { name: "fall of the chosen answers", of: ({ chosen }) => -chosen },
  { name: "margin", of: ({ margin }) => margin },
];

/** A run and its evaluations. */
interface LongRun {
  condition: string;
  seed: number;
  course: Course;
  /** Metrics of the first evaluation. */
  start: Readonly<Record<string, number>>;
  /** What the watch finds at each evaluation, in the same order. */
  breaches: readonly (readonly string[])[];
}

function runsOf(measured: Measured): LongRun[] {
  return [...measured.values()].flatMap(({ name, runs }) =>
    runs.map((run) => ({ condition: name, seed: run.trial.seed, ...courseOf(run) })),
  );
}

function courseOf({ metrics }: MeasuredRun): Pick<LongRun, "course" | "breaches" | "start"> {
  const rows = metrics.filter((row) => typeof row["eval_samples/repetition"] === "number");
  const evaluations = rows.map((row) => ({ step: row.global_step, figures: heldOut(row) }));
  const [first] = evaluations;
  if (first === undefined) return { course: [], breaches: [], start: {} };
  const start = { step: first.step, watchStep: first.step, metrics: first.figures };
  const breaches = evaluations.map(({ figures }) =>
    breachesOf(figures, start, SAMPLED_THRESHOLDS).map(({ threshold }) => threshold ?? "loss"),
  );
  const course = evaluations.map(({ step, figures }, i): Reading => {
    const of = (key: string): number => figures[key] ?? Number.NaN;
    const [chosen, rejected] = [of("logps/chosen_delta_init"), of("logps/rejected_delta_init")];
    // a token whose change is no number is worse than any that is
    const isRuined = of("displacement/token_change_not_finite") > 0;
    return {
      ...{ step, chosen, margin: chosen - rejected },
      drift: isRuined ? Number.POSITIVE_INFINITY : of("displacement/token_change_mean_abs"),
      tail: isRuined ? Number.NEGATIVE_INFINITY : of("displacement/token_change_p01"),
      isBad: (breaches[i]?.length ?? 0) > 0,
    };
  });
  return { course, breaches, start: first.figures };
}

/** The metrics of an evaluation, without `eval_`. */
function heldOut(row: MetricRow): Record<string, number> {
  return Object.fromEntries(
    Object.entries(row).flatMap(([key, value]) =>
      key.startsWith("eval_") && typeof value === "number" ? [[key.slice("eval_".length), value]] : [],
    ),
  );
}

/** Means over seeds of what is drawn. */
const drawn: readonly { title: string; unit: string; key: string }[] = [
  { title: "Drift", unit: "nats", key: "eval_displacement/token_change_mean_abs" },
  { title: "Repeated runs of four in sampled answers", unit: "share", key: "eval_samples/repetition" },
  { title: "Sampled answers with malformed Markdown", unit: "share", key: "eval_samples/malformed" },
];

function coursesSection(measured: Measured): ReportSection {
  const rates = [...new Set([...measured.keys()].map(rateOf))].sort((a, b) => a - b);
  return {
    title: "Over training",
    note: `Means over seeds; charts for each learning rate, ${reference} in each.`,
    curves: rates.flatMap((rate) =>
      drawn.flatMap(({ title, unit, key }): Chart[] => {
        const own = [...measured.values()].filter(({ name }) => rateOf(name) === rate);
        const lines = own.map(({ name, runs }) => ({
          name: methodOf(name),
          isEval: false,
          points: meansOf(runs, key),
        }));
        return inCharts({ title: `${title}, learning rate ${rate}`, unit, xLabel: "step" }, lines, reference);
      }),
    ),
  };
}

function meansOf(runs: readonly MeasuredRun[], key: string): [step: number, value: number][] {
  const values = runs.flatMap(({ metrics }) =>
    metrics.flatMap((row) => {
      const value = row[key];
      return typeof value === "number" ? [[row.global_step, value] as const] : [];
    }),
  );
  return [...Map.groupBy(values, ([step]) => step)]
    .map(([step, own]): [number, number] => [step, mean(own.map(([, value]) => value))])
    .sort(([a], [b]) => a - b);
}

function mean(values: readonly number[]): number {
  return plainMean([Float64Array.from(values)]);
}

function orderSection(runs: readonly LongRun[]): ReportSection {
  const [drift, tail] = signs as [Sign, Sign];
  const stepText = (step: number | null): string => (step === null ? "–" : String(step));
  return {
    title: "What comes first",
    note: "Each run: the first evaluation whose sampled answers the watch's default thresholds call a collapse (repetition, ended_properly, distinct_2, malformed, length; docs/collapse.md), what they found there, and the first at which drift is above 0.5 nats and the tail below −3.",
    tables: [
      {
        columns: [
          "",
          "seed",
          "steps",
          "answers bad from step",
          "bad at the end",
          "what",
          "drift from step",
          "tail from step",
          "drift at the end",
          "tail at the end",
        ],
        rows: runs.map(({ condition, seed, course, breaches }) => {
          const bad = course.findIndex(({ isBad }) => isBad);
          const last = course.at(-1);
          return [
            ...[condition, String(seed), String(last?.step ?? 0)],
            ...[stepText(course[bad]?.step ?? null), last?.isBad === true ? "yes" : "no"],
            breaches[bad]?.join(", ") ?? "–",
            stepText(firstStep(course, warns(drift))),
            stepText(firstStep(course, warns(tail))),
            ...[numberText(last?.drift ?? Number.NaN, 2), numberText(last?.tail ?? Number.NaN, 1)],
          ];
        }),
      },
    ],
  };
}

/** What the answers were before training: a share that is low already cannot fall by its bound. */
function startText(runs: readonly LongRun[]): string {
  const text = (key: string): string =>
    numberText(mean(runs.map(({ start }) => start[`samples/${key}`] ?? Number.NaN)), 2);
  return `Before training, in the mean: repetition ${text("repetition")}, ended properly ${text("ended_properly")}, distinct-2 ${text("distinct_2")}, malformed ${text("malformed")}. A share that is low already cannot fall by its bound.`;
}

function lostText(lost: readonly Pick<LongRun, "condition" | "seed">[]): string {
  const names = lost.map(({ condition, seed }) => `${condition}, seed ${seed}`).join("; ");
  return `Not counted, since they failed, which may be a collapse too, or sampled no answers: ${names}.`;
}

/** Which methods' answers are bad after the last step, whatever they were between. */
function lastText(runs: readonly LongRun[]): string {
  const bad = runs.filter(({ course }) => course.at(-1)?.isBad === true);
  const counts = [...Map.groupBy(bad, ({ condition }) => condition)].map(([name, own]) => {
    const seeds = runs.filter(({ condition }) => condition === name).length;
    return `${name} (${own.length} of ${seeds})`;
  });
  return `At the end they are bad in ${bad.length}${counts.length === 0 ? "" : `: ${counts.join("; ")}`}.`;
}

/** When a sign is read that is to tell the end: after this part of a run. */
const early = 1 / 3;

function signsSection(
  runs: readonly LongRun[],
  lost: readonly Pick<LongRun, "condition" | "seed">[],
): ReportSection {
  const courses = runs.map(({ course }) => course);
  const bad = runs.filter(({ course }) => course.some(({ isBad }) => isBad));
  const warnings = signs.map((sign) => ({ sign, ...warningsOf(courses, sign) }));
  const auc = quantities.map(({ name, of }) => ({ name, ...earlySign(courses, of, early) }));
  const names = [...new Set(bad.map(({ condition }) => condition))];
  const [first] = auc;
  return {
    title: "Do drift and tail tell it?",
    note: "Runs in which a sign passed its bound before, at or after the evaluation at which the sampled answers went bad, and in which it did so although they stayed good. Below: the sign a third into the run, among runs still good there: how often it is worse in one that goes bad later than in one that stays good (0.5: by chance). Runs of one method and rate are no independent draws: no interval is given.",
    tables: [
      {
        columns: [
          "",
          "before",
          "at the same",
          "after or never",
          "answers good: warned",
          "answers good: silent",
        ],
        rows: warnings.map(({ sign, before, together, after, falsely, silent }) => [
          sign.name,
          ...[before, together, after, falsely, silent].map(String),
        ]),
      },
      {
        columns: ["a third into the run", "distinguished", "runs that go bad", "runs that stay good"],
        rows: auc.map(({ name, auc: value, bad: later, good }) => [
          ...[name, numberText(value, 2), String(later), String(good)],
        ]),
      },
    ],
    sentences: [
      startText(runs),
      `Answers went bad in ${bad.length} of ${runs.length} runs${names.length === 0 ? "" : `: ${names.join("; ")}`}.`,
      lastText(runs),
      ...(lost.length === 0 ? [] : [lostText(lost)]),
      ...warnings.map(
        ({ sign, before, together, after, falsely, silent }) =>
          `${sign.name}: before them in ${before} of ${bad.length}, at the same evaluation in ${together}, later or never in ${after}; and in ${falsely} of the ${falsely + silent} whose answers stayed good.`,
      ),
      first === undefined || Number.isNaN(first.auc)
        ? "A third into the run nothing can be distinguished: no run that was good there went bad later, or all did."
        : `A third into the run the two are distinguished by ${auc.map(({ name, auc: value }) => `${name} ${numberText(value, 2)}`).join(", ")} (0.5: by chance), over ${first.bad} runs that went bad later and ${first.good} that did not.`,
    ],
  };
}
