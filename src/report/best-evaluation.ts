/** Which evaluation of a run was the best, and which one the exported model had. */
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import type { RunEvent, RunView } from "../runs/run-directory.ts";
import { collapseStory } from "./collapse-section.ts";
import { pointsOf } from "./metric-series.ts";
import { lastStep } from "./state-text.ts";

/** The step from which on an evaluation's `key` can be compared with the last one's: gold of the same functions, samples of the same prompts. */
export function comparableSince(evaluations: readonly EvaluationRecord[], key: string): number {
  const { gold_start: gold, watch_start: watch } = evaluations.at(-1) ?? {};
  const name = key.replace(/^eval_/, "");
  return (name === "gold" ? gold : name.startsWith("samples/") ? watch : 0) ?? 0;
}

/** The step after the start with the best metric_for_best_model, and its value; null: none. One at which the watch saw a collapse is none. */
export function bestEvaluation(
  run: Pick<RunView, "config" | "metrics" | "events" | "evaluations">,
): [step: number, value: number] | null {
  const { metric_for_best_model: metric, greater_is_better: greater } = run.config;
  const sign = greater ? -1 : 1;
  const since = comparableSince(run.evaluations, metric);
  const collapsed = new Set(collapseStory(run.events).alarms.map(({ step }) => step));
  const points = pointsOf(run.metrics, metric.replace(/^(?!eval_)/, "eval_")).filter(
    ([step, value]) => Number.isFinite(value) && step > 0 && step >= since && !collapsed.has(step),
  );
  return points.toSorted((a, b) => sign * (a[1] - b[1]) || a[0] - b[0])[0] ?? null;
}

/** The step whose weights the run exported. */
export function exportedStep(run: RunView): number {
  const restored = collapseStory(run.events).end?.restored ?? null;
  if (restored !== null) return restored;
  // which one was the best the rows alone do not say: a resumed run may have gone over to another metric
  const said = lastEnd(run)?.["exported_step"];
  if (typeof said === "number") return said;
  const best = run.config.load_best_model_at_end ? bestEvaluation(run) : null;
  return best?.[0] ?? lastStep(run);
}

/** How the run ended, or that it has begun again since. */
function lastEnd({ events }: RunView): RunEvent | undefined {
  return events.findLast(({ event, exported }) => event === "start" || Array.isArray(exported));
}

/** The same of a run that has exported something; null of one that has not, or was resumed since and has not ended. */
export function shownExport(run: RunView): number | null {
  const files = lastEnd(run)?.["exported"];
  return Array.isArray(files) && files.length > 0 ? exportedStep(run) : null;
}
