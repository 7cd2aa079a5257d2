/** One stage of the quick start: trains as a configuration says, then measures the exported model. Needs libtorch. */

import type { PhaseListener } from "../base/phase-listener.ts";
import { type ConfigInput, loadConfig } from "../config/load-config.ts";
import { train } from "../recipes/train.ts";
import type { MetricRow } from "../runs/metrics.ts";
import { runPaths } from "../runs/run-directory.ts";
import { memoryInUse } from "../torch/index.ts";
import { type ModelShape, writeBaseModel } from "../toy/base-model.ts";
import { type Measurement, measure } from "./measure.ts";

/** What a stage does. Plain data: it goes to another process. */
export interface StageTask {
  config: ConfigInput;
  /** A model to make first, where the configuration expects it; null when it is there. */
  base: { shape: ModelShape; text: string } | null;
  /** File of the held-out pairs. */
  heldOut: string;
  answersPerPrompt: number;
}

/** The result of a stage. */
export interface StageResult {
  measurement: Measurement;
  /** Accuracy by the objective's own reward at the last evaluation; null for SFT. */
  rewardAccuracy: number | null;
  steps: number;
  /** Wall-clock time of training, loading and export included, and of the whole stage. */
  trainSeconds: number;
  seconds: number;
  /** Largest resident memory of the process when training ended, libtorch included. */
  peakBytes: number;
}

/** What a stage tells while it runs. */
export type StageEvent =
  | { type: "phase"; label: string; done: number; total: number | null }
  | { type: "start"; totalSteps: number; trainable: number }
  | { type: "step"; step: number; loss: number }
  | { type: "log"; row: MetricRow };

/** Runs a stage. */
export async function runStage(task: StageTask, tell: (event: StageEvent) => void): Promise<StageResult> {
  const resolved = loadConfig(task.config);
  const { config } = resolved;
  const onPhase: PhaseListener = (label, done, total) => tell({ type: "phase", label, done, total });
  const began = performance.now();
  if (task.base !== null)
    await writeBaseModel(config.model_name_or_path, { ...task.base, seed: config.seed });
  let steps = 0;
  let evaluation: MetricRow | null = null;
  for await (const event of train(resolved, { onPhase })) {
    if (event.type === "start")
      tell({ type: "start", totalSteps: event.totalSteps, trainable: event.trainable });
    if (event.type === "step") tell({ type: "step", step: event.step, loss: event.loss });
    if (event.type === "log") tell({ type: "log", row: event.row });
    if (event.type === "end") ({ step: steps, lastEvaluation: evaluation } = event.summary);
  }
  const trainSeconds = (performance.now() - began) / 1000;
  const peakBytes = memoryInUse("cpu").peak;
  const measurement = await measure({
    model: runPaths(config.output_dir).model,
    heldOut: task.heldOut,
    maxLength: config.max_length,
    seed: config.seed,
    answersPerPrompt: task.answersPerPrompt,
    onPhase,
  });
  const accuracy = evaluation?.["eval_rewards/accuracies"];
  const seconds = (performance.now() - began) / 1000;
  return {
    measurement,
    rewardAccuracy: typeof accuracy === "number" ? accuracy : null,
    steps,
    trainSeconds,
    seconds,
    peakBytes,
  };
}
