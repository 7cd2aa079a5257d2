/** The evaluation of what a run exported: not of its training at another step or scale. */
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import type { RunView } from "../runs/run-directory.ts";
import { exportedStep } from "./best-evaluation.ts";
import { exportedScale } from "./facts-section.ts";

/** It, or why there is none. */
export interface ExportedEvaluation {
  exported: EvaluationRecord | null;
  /** Why there is none, and what to do; null: there is one. */
  exportedLack: string | null;
}

/** The evaluation at the step whose weights the run exported; none where it exported a part of its training. */
export function exportedEvaluation(run: RunView): ExportedEvaluation {
  const scale = exportedScale(run) ?? 1;
  if (scale !== 1) {
    const exportedLack = `${scale} of the training was exported, and evaluations are of all of it. Export all of it: final_scale 1`;
    return { exported: null, exportedLack };
  }
  const step = exportedStep(run);
  const exported = run.evaluations.findLast(({ global_step: at }) => at === step) ?? null;
  const lack = `there is no evaluation at step ${step}, whose weights were exported. Evaluate there: eval_strategy steps or epoch`;
  return { exported, exportedLack: exported === null ? lack : null };
}
