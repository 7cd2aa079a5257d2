/** The directory of a run that came to its end, without a training. */
import { writeFileSync } from "node:fs";
import { loadConfig } from "../../src/config/load-config.ts";
import { appendEvaluation, type EvaluationRecord } from "../../src/runs/evaluation-records.ts";
import { type MetricRow, MetricsWriter } from "../../src/runs/metrics.ts";
import { createRun, openRun, type RunView } from "../../src/runs/run-directory.ts";

/** What a run left behind. */
export interface EndedRun {
  rows?: readonly MetricRow[];
  evaluations?: readonly (Pick<EvaluationRecord, "global_step"> & Partial<EvaluationRecord>)[];
  /** Of the event that ends its log. */
  end?: Record<string, unknown>;
  /** How much of its training it exported. */
  scale?: number | undefined;
  values?: Record<string, unknown>;
}

/** The view of a run in `dir` that ended at step 20 of 30 with an adapter. */
export function endedRun(
  dir: string,
  { rows = [], evaluations = [], end = {}, scale, values = {} }: EndedRun,
): RunView {
  const data = { model_name_or_path: "m", train_data: "a.jsonl", eval_data: "b.jsonl", output_dir: dir };
  const run = createRun(loadConfig({ values: { ...data, ...values } }));
  const metrics = new MetricsWriter(run.paths.metrics);
  for (const row of rows) metrics.write(row);
  metrics.close();
  for (const record of evaluations)
    appendEvaluation(run.paths.evaluations, {
      ...{ rejected_logps: null, pair_changes: [], samples: [] },
      ...record,
    });
  run.log("start", { step: 0, total_steps: 30 });
  run.log("done", { step: 20, exported: ["adapter"], ...end });
  if (scale !== undefined) writeFileSync(run.paths.exportJson, JSON.stringify([{ scale }]));
  run.release();
  return openRun(dir);
}
