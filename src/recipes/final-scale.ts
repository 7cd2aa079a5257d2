/** `final_scale: auto`: a run exports the part of its training that a rule picks on held-out pairs, and keeps the whole beside it. */
import { join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { fileWork, io, syncDirectory } from "../base/file-io.ts";
import { makeDirectory, remove } from "../base/files.ts";
import { isFolder } from "../base/open-file.ts";
import { alone, onFirst } from "../base/ranks.ts";
import { shellWord } from "../base/shell-word.ts";
import { FINAL_SCALES } from "../config/final-scale-checks.ts";
import type { RunConfig } from "../config/run-config.ts";
import { onceForAll } from "../distributed/once-per-host.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { readAdapter } from "../formats/adapter.ts";
import { scaledPlace } from "../formats/adapter-scale.ts";
import { ownSkipModules } from "../formats/held-quantisation.ts";
import { askedQuantisation, quantisationOptions } from "../formats/quantisation.ts";
import type { Environment } from "../forward/environment.ts";
import { type Adapter, adapterTensors } from "../models/adapt.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadModel } from "../models/load.ts";
import { installAdapter } from "../models/load-adapter.ts";
import { choiceText } from "../report/scales-section.ts";
import type { RunPaths } from "../runs/run-directory.ts";
import { type ScaleRecord, scalePath, writeScales } from "../runs/scale-record.ts";
import type { ParityResult, TrainEvent, WorkListener } from "../runs/train-events.ts";
import { noGrad, ops, scope } from "../torch/index.ts";
import { exportRun } from "../train/export-run.ts";
import { adapterParameters } from "../train/parameters.ts";
import type { PreparedData } from "../train/prepare-data.ts";
import { type Halves, halvesOf } from "../train/scale-choice.ts";
import {
  type Measurements,
  measuredScales,
  numericsOf,
  type ScaleWork,
  scaleCost,
  scaleRecord,
} from "./measured-scales.ts";
import type { OtherText } from "./other-text.ts";

/** Prompts that are answered at each scale. */
const answered = 2;

/**
 * The halves of the held-out pairs of a run that chooses its scale; null for one that does not.
 *
 * @throws {ConfigError} if there are too few
 */
export function finalHalves(
  { final_scale }: Pick<RunConfig, "final_scale">,
  { dataset }: Pick<PreparedData, "dataset">,
): Halves | null {
  if (final_scale !== "auto") return null;
  try {
    return halvesOf(dataset.evalExamples ?? []);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(`final_scale: auto: ${error.message} Or set final_scale: 1.`);
  }
}

/** A run at its end. */
interface FinalScaleWork {
  paths: RunPaths;
  config: RunConfig;
  data: PreparedData;
  environment: Environment;
  other: OtherText | null;
  /** Null: the whole is exported. */
  halves: Halves | null;
  /** Steps taken. */
  step: number;
  onWork: WorkListener;
  /** Called when the trained model is needed no more. */
  free: () => void;
  /** The ranks of the run, all of which come here; null: this process is the only one. */
  group: RankGroup | null;
}

/** Events of an export. */
type ExportEvents = AsyncGenerator<Extract<TrainEvent, { type: "note" | "export" }>>;

/**
 * Exports the whole of the training; where the run chooses its scale, measures tenths of that, picks one, and exports that in its place; at
 * another scale than 1 the whole moves to `whole/`. Ranks measure together, each with the whole model; rank 0 picks, and exports.
 *
 * @throws {ConfigError} if no scale meets the bounds of `final_scale_rule` (on ranks {RankFailure}): the whole training is in `whole/` then,
 * and nothing exported
 * @throws {FormatError} if an export does not score as the model at its scale does
 */
export async function* exportPart(work: FinalScaleWork, whole: ReturnType<typeof exportRun>): ExportEvents {
  const { paths, halves, group } = work;
  // what an earlier export left says nothing of this one
  onFirst(group ?? alone, () => {
    for (const path of [paths.whole, scalePath(paths.dir), paths.exportJson]) remove(path);
  });
  if (halves === null) return yield* whole;
  const exported = await resultsOf(whole);
  work.free();
  const scaled = scaleWork(work, halves);
  yield { type: "note", text: `final_scale: ${scaleCost(FINAL_SCALES, scaled)}` };
  const { choice } = await chosen(work, scaled);
  if (choice === null) return;
  yield { type: "note", text: `final_scale: ${choiceText(choice)}` };
  const { scale } = choice;
  const results = scale === 1 ? exported : await onceForAll(group, () => exportedAt(work, scale));
  for (const result of results) yield { type: "export", result: { ...result, scale } };
}

function scaleWork(work: FinalScaleWork, halves: Halves): ScaleWork {
  const { paths, config, data, environment, other, group } = work;
  const { model_name_or_path, final_scale_rule } = config;
  return {
    ...{ config, data, environment, other, group, prompts: answered },
    start: model_name_or_path,
    trained: config.use_peft ? paths.adapter : paths.model,
    quantise: askedQuantisation(config),
    choose: { rule: final_scale_rule, halves, among: FINAL_SCALES },
  };
}

async function chosen(work: FinalScaleWork, scaled: ScaleWork): Promise<ScaleRecord> {
  const { step, onWork, group } = work;
  const measured = await measuredScales(FINAL_SCALES, scaled, (_, done, total) =>
    onWork({ at: "export", step, done, total: total ?? done, tokens: 0 }),
  );
  return onFirst(group ?? alone, () => picked(work, scaled, measured));
}

function picked(work: FinalScaleWork, scaled: ScaleWork, measured: Measurements): ScaleRecord {
  const { paths } = work;
  try {
    const record = scaleRecord(measured, scaled);
    writeScales(paths.dir, record);
    return record;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    keepWhole(paths);
    throw new ConfigError(`final_scale: auto: ${error.message} ${howToGoOn(work)}`);
  }
}

/** Where the training is that no scale was taken of, and the commands that make something of it. */
function howToGoOn({ paths: { dir, whole }, config, data }: FinalScaleWork): string {
  const trained = join(whole, config.use_peft ? "adapter" : "model");
  const again =
    config.save_strategy === "no"
      ? "There is no checkpoint to choose again from (save_strategy: no)"
      : "From the last checkpoint the run takes the whole, or a part by other bounds where --final_scale_rule stands in place of " +
        `--final_scale 1: preftune train ${shellWord(join(dir, "config.yaml"))} --resume --final_scale 1`;
  const held = askedQuantisation(config);
  const asHeld =
    held === null
      ? ""
      : ` ${quantisationOptions({ ...held, skipModules: ownSkipModules(data.modelConfig, held.skipModules) })}`;
  return (
    `Nothing is exported; the whole training is in ${trained}. ${again}. What each scale does: preftune scale ${shellWord(dir)}. ` +
    `The model at scale S: preftune merge --model ${shellWord(config.model_name_or_path)} --adapter ${shellWord(trained)} --adapter-scale S --output DIR${asHeld}`
  );
}

/** Moves what was exported to where the whole of a training is kept. */
function keepWhole({ dir, whole, adapter, model }: RunPaths): void {
  makeDirectory(whole);
  fileWork({ action: "move the export to", path: whole }, () => {
    if (isFolder(adapter)) io.renameSync(adapter, join(whole, "adapter"));
    if (isFolder(model)) io.renameSync(model, join(whole, "model"));
    for (const each of [whole, dir]) syncDirectory(each);
  });
}

/** Moves the whole to `whole/`, and exports that at a scale in its place. */
async function exportedAt(work: FinalScaleWork, scale: number): Promise<ParityResult[]> {
  using _ = scope();
  const { paths, config, data } = work;
  keepWhole(paths);
  const { model, adapter } = opened(work, scale);
  const parameters = adapterParameters(model);
  const part = {
    model,
    adapter,
    parameters,
    numerics: numericsOf(work),
    objective: { over: "pairs" },
  } as const;
  // the scope ends with this function
  return await resultsOf(exportRun(paths, config, data, part));
}

/** Of full tuning the model at the scale; else the base with the adapter in it. */
function opened(
  { paths, config, data, environment: { device, dtype } }: FinalScaleWork,
  scale: number,
): { model: CausalLM; adapter: Adapter | null } {
  const { model_name_or_path: base, use_peft, offload_embedding } = config;
  if (!use_peft) {
    const result = scaledPlace(join(paths.whole, "model"), scale);
    const model = loadModel(base, { device, dtype: data.modelConfig.dtype, adapter: result });
    return { model, adapter: null };
  }
  const model = loadModel(base, { device, dtype, quantise: askedQuantisation(config), offload_embedding });
  return { model, adapter: installedAt(model, join(paths.whole, "adapter"), scale) };
}

async function resultsOf(events: ReturnType<typeof exportRun>): Promise<ParityResult[]> {
  const results: ParityResult[] = [];
  for await (const { result } of events) results.push(result);
  return results;
}

/** The adapter as its file at the scale is to say it: alpha scaled; at 0, which no file's alpha can be, B is 0. */
function installedAt(model: CausalLM, dir: string, scale: number): Adapter {
  const adapter = installAdapter(model, readAdapter(scaledPlace(dir, scale)));
  if (scale > 0) return adapter;
  for (const [{ part }, tensor] of adapterTensors(model)) {
    if (part === "B") noGrad(() => ops.zero_(ops.detach(tensor)));
  }
  const { alpha, alphaPattern } = readAdapter(dir).config;
  return { ...adapter, config: { ...adapter.config, alpha, alphaPattern } };
}
