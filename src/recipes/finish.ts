/** The end of a run: the best checkpoint put back where that is wished, the export, its parity gate. */
import { ConfigError, FormatError } from "../base/errors.ts";
import type { RunConfig } from "../config/run-config.ts";
import { checkpointPath, faultOf } from "../runs/checkpoints.ts";
import type { OpenRun } from "../runs/run-directory.ts";
import { readTrained } from "../train/checkpoint.ts";
import { checkParity, exportAdapter, exportModel, type ParityResult } from "../train/export.ts";
import { evaluationBatches } from "../train/plan.ts";
import type { PreparedData } from "../train/prepare-data.ts";
import type { Training } from "../train/step.ts";

/** Rows that the parity gate re-scores at most. */
const parityRows = 16;

/** What is exported. */
export interface FinishedRun {
  run: OpenRun;
  config: RunConfig;
  data: PreparedData;
  training: Training;
}

/**
 * Puts the weights of the best evaluation back.
 *
 * @throws {FormatError} if its checkpoint was damaged since it was written
 */
export function restoreBest({ run, training }: FinishedRun, step: number): void {
  const path = checkpointPath(run.paths.checkpoints, step);
  const fault = faultOf(path);
  if (fault !== null) {
    throw new FormatError(
      `${path}, the best checkpoint, is ${fault}. Nothing was exported. Go on with --resume: it makes the checkpoint again where it can.`,
    );
  }
  readTrained(path, training);
}

/**
 * Exports the adapter, or the model (also merged where the run wants it), each checked by re-scoring held-out rows.
 *
 * @throws {FormatError} if an export does not score as the trained model does
 */
export async function finishRun({ run, config, data, training }: FinishedRun): Promise<ParityResult[]> {
  const { model, adapter, numerics } = training;
  const { dataset, tokenizer, modelConfig } = data;
  const held = (dataset.evalExamples ?? dataset.examples).slice(0, parityRows);
  if (held.length === 0) throw new ConfigError("there are no rows to check the export with");
  const baseDir = config.model_name_or_path;
  const gate = {
    baseDir,
    model,
    batches: evaluationBatches(held, config),
    numerics,
    tolerance: config.export_parity_tolerance,
  };
  const results: ParityResult[] = [];
  if (adapter !== null) {
    await exportAdapter(run.paths.adapter, training, tokenizer);
    results.push(checkParity({ ...gate, kind: "adapter", path: run.paths.adapter, dtype: "float32" }));
  }
  if (adapter === null || config.export_merged) {
    const dtype = modelConfig.dtype;
    await exportModel(run.paths.model, { model, tokenizer, baseDir, dtype, replace: true });
    results.push(checkParity({ ...gate, kind: "model", path: run.paths.model, dtype }));
  }
  run.saveJson(run.paths.exportJson, results);
  return results;
}
