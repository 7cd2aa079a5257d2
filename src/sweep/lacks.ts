/** Runs that have no figure of some metrics, since what they exported was not measured: named with the reason. */
import type { MeasuredRun } from "./measured.ts";
import type { Measured, ReportSection } from "./section.ts";
import { TRIAL_METRICS, type TrialMetricName } from "./trial-metrics.ts";

/** Metrics that a run lacks together. */
interface LackKind {
  title: string;
  /** What runs are missing from. */
  from: string;
  holds(metric: TrialMetricName): boolean;
  why(run: MeasuredRun): string | null;
}

const kinds: readonly LackKind[] = [
  {
    title: "Without pairs",
    from: "the figures of held-out pairs",
    holds: (metric) => (TRIAL_METRICS[metric].source ?? "pairs") === "pairs",
    why: ({ after }) => (after.length > 0 ? null : "no held-out prompt has a chosen and a rejected answer"),
  },
  {
    title: "Without other text",
    from: "the change of other text",
    holds: (metric) => metric === "other_text",
    why: ({ otherTextLack }) => otherTextLack,
  },
  {
    title: "Without answers",
    from: "the figures of sampled answers",
    holds: (metric) => TRIAL_METRICS[metric].source === "answers",
    why: lackOfAnswers,
  },
  {
    title: "Without completions",
    from: "the figures of completions of held-out prompts",
    holds: (metric) => TRIAL_METRICS[metric].source === "rollouts",
    // other runs have no such figures, whatever they export
    why: ({ evaluations, exportedLack }) =>
      evaluations.some(({ prompts }) => prompts !== undefined) ? exportedLack : null,
  },
];

/** Why there are no answers of what the run exported, and what to do; null: there are, or the run samples none. */
function lackOfAnswers({ evaluations, exported, exportedLack }: MeasuredRun): string | null {
  if (evaluations.every(({ samples }) => samples.length === 0)) return null;
  if (exported === null || exported.samples.length > 0) return exportedLack;
  return `the evaluation at step ${exported.global_step}, whose weights were exported, sampled none. Keep watch_prompts on resume`;
}

/** Runs that are named of those without a figure. */
const namedLacks = 5;

/** Which runs have no figure of a metric that is asked for, and why; nothing where all have. */
export function lackSections(measured: Measured, metrics: readonly TrialMetricName[]): ReportSection[] {
  const runs = [...measured.values()].flatMap(({ runs: own }) => own);
  const lacking = kinds.flatMap(({ title, from, holds, why }) => {
    const lacks = metrics.some(holds)
      ? runs.flatMap((run) => {
          const lack = why(run);
          return lack === null ? [] : [`${run.trial.id}: ${lack}.`];
        })
      : [];
    if (lacks.length === 0) return [];
    const more = lacks.length > namedLacks ? [`And ${lacks.length - namedLacks} more.`] : [];
    const text = `${lacks.length} of ${runs.length} runs are not in ${from}: what they exported was not measured.`;
    return [{ title, sentences: [text, ...lacks.slice(0, namedLacks), ...more] }];
  });
  return [...lacking, ...unsharedSections(measured)];
}

/** Where the seeds of a condition were measured on different pairs: its figures are of those that all have. */
function unsharedSections(measured: Measured): ReportSection[] {
  const some = [...measured.values()].filter(({ unshared = 0 }) => unshared > 0);
  if (some.length === 0) return [];
  const named = some
    .slice(0, namedLacks)
    .map(
      ({ name, runs: [run], unshared = 0 }) =>
        `${name}: ${unshared} left out, ${run?.after.length ?? 0} kept.`,
    );
  const more = some.length > namedLacks ? [`And ${some.length - namedLacks} more.`] : [];
  const text = `The runs of ${some.length} of ${measured.size} settings were measured on different held-out pairs: the figures are of those that all runs of a setting have.`;
  return [{ title: "Pairs of some runs alone", sentences: [text, ...named, ...more] }];
}
