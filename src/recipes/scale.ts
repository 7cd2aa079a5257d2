/** `preftune scale`: measures a run's model at several scales, and picks one by a rule. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, TrainingError } from "../base/errors.ts";
import { sha256File } from "../base/files.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { warn } from "../base/warn.ts";
import type { RunConfig } from "../config/run-config.ts";
import { adapterWeightsName } from "../formats/adapter.ts";
import { checkedScale } from "../formats/adapter-scale.ts";
import { modelFingerprint } from "../formats/model-fingerprint.ts";
import type { Quantisation } from "../formats/quantisation.ts";
import { settleEnvironment } from "../forward/environment.ts";
import { methodOf } from "../methods/index.ts";
import { writeReport } from "../report/run-report.ts";
import { isRun, readFingerprints, runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import { refuseLocked } from "../runs/run-lock.ts";
import { type ScaleRecord, type ScaleRule, writeScales } from "../runs/scale-record.ts";
import { type PreparedData, prepareData } from "../train/prepare-data.ts";
import { halvesOf } from "../train/scale-choice.ts";
import { exportedScaleOf, ggufOrigin, startOfRun } from "./gguf-source.ts";
import { dateOfRun } from "./identity.ts";
import { measuredScales, scaleCost, scaleRecord, withStart } from "./measured-scales.ts";
import { otherTextOf } from "./other-text.ts";

/** What is measured. */
export interface ScaleOptions {
  /** Directory of a finished run over pairs, with held-out rows. */
  run: string;
  /** Between 0 and 2; 0, and what the run exported, are measured in any case, and chosen only where they are among them. */
  scales: readonly number[];
  /** Picks a scale; null: none is picked. */
  choose?: ScaleRule | null;
  /** Prompts that are answered at each scale, greedily. Default 2. */
  prompts?: number;
  device?: string;
  threads?: number | null;
  onPhase?: PhaseListener;
  /** Called with what it will cost, before a model is read. */
  onCost?: (cost: string) => void;
}

/**
 * Measures the scales, and writes `scale.json` and the report of the run. Of a run that took a part of its training (`final_scale: auto`)
 * 1 is the whole training.
 *
 * @throws {ConfigError} for what is no run, a scale outside [0, 2], a run without held-out pairs, fewer than 30 of them with a rule, a rule that no scale
 * meets, a start that has changed; nothing is written then
 * @throws {FileError} for a run that has exported nothing, or whose start is gone
 * @throws {TrainingError} for a run that is being written, or was continued while it was measured
 */
export async function measureScales(options: ScaleOptions): Promise<ScaleRecord> {
  const { run, onPhase = () => {}, onCost = () => {}, choose = null, prompts = 2 } = options;
  for (const scale of options.scales) checkedScale(scale, "--scales");
  // before anything is fetched: what is no directory here may be the name of a model elsewhere
  if (!isRun(run)) {
    throw new ConfigError(
      `${run}: expected the directory of a run, which has a run.json, and there is none. Give the output_dir of a training.`,
    );
  }
  const { objective } = readRunJson(runPaths(run).runJson).config.method;
  if (methodOf(objective).over !== "pairs") {
    throw new ConfigError(
      `${run}: expected a run over pairs, whose margin is measured at each scale, got ${objective}. generate, score and merge take a ` +
        "part of its training: --adapter-scale.",
    );
  }
  refuseLocked(runPaths(run).lock);
  // figures of the export are taken from the record: a later one has them too
  const scales = withStart([...options.scales, exportedScaleOf(runPaths(run)) ?? 0]);
  const start = await startOfRun(run, onPhase);
  const { own, trained, quantise } = await wholeOfRun(run, onPhase);
  const measured = exportOf(run, trained);
  const environment = settleEnvironment({
    device: options.device ?? "auto",
    threads: options.threads ?? null,
    dtype: own.dtype,
  });
  const config = { ...own, ...dateOfRun(run) };
  const data = await prepareData({ ...config, task: "preference" }, onPhase);
  const examples = data.dataset.evalExamples ?? [];
  if (examples.length < 2) {
    throw new ConfigError(
      `${run}: expected held-out pairs, got ${examples.length}. Scales are compared on them: train with eval_data or eval_fraction.`,
    );
  }
  const chooses =
    choose === null ? null : { rule: choose, halves: halvesOf(examples), among: options.scales };
  tellChangedRows(run, data);
  const other = await otherTextOf(config, data, null, onPhase);
  const work = {
    config,
    data,
    environment,
    start,
    trained,
    quantise,
    other,
    prompts,
    choose: chooses,
    group: null,
  };
  for (const text of other?.warnings ?? []) warn(text);
  onCost(scaleCost(scales, work));
  const record = scaleRecord(await measuredScales(scales, work, onPhase), work);
  refuseLocked(runPaths(run).lock);
  if (exportOf(run, trained) !== measured) {
    throw new TrainingError(
      `${run}: the run was continued meanwhile, and has exported something else than was measured. Nothing was written: measure it again.`,
    );
  }
  writeScales(run, record);
  writeReport(runPaths(run).dir);
  return record;
}

/** What a run trained, all of it, and the run's configuration. */
async function wholeOfRun(
  run: string,
  onPhase: PhaseListener,
): Promise<{ own: RunConfig; trained: string; quantise: Quantisation | null }> {
  const whole = { adapter: null, quantise: null, takesWhole: true };
  const { model, adapter, quantise, run: own } = await ggufOrigin(run, whole, onPhase);
  if (own === null) throw new ConfigError(`${run}: expected the directory of a run, got a model.`);
  return { own, trained: adapter ?? model, quantise };
}

/** What a run exported, and the weights at `trained`, which were all of its training. */
function exportOf(run: string, trained: string): string {
  const { exportJson } = runPaths(run);
  const weights = join(trained, adapterWeightsName);
  const own = existsSync(weights) ? sha256File(weights) : modelFingerprint(trained);
  return `${own} ${existsSync(exportJson) ? sha256File(exportJson) : ""}`;
}

/** Warns where the rows are others than the run's: which are held out follows from them. */
function tellChangedRows(run: string, { dataset }: PreparedData): void {
  const { fingerprints } = runPaths(run);
  if (!existsSync(fingerprints)) return;
  const { rows } = readFingerprints(fingerprints).data;
  if (rows === undefined || rows === dataset.fingerprint) return;
  warn(
    `${run}: the rows of its data are others than those it was trained with, and pairs that it was trained on may be among those held out.`,
  );
}
