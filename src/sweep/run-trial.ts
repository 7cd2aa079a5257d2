/** One run of a grid: trains, then measures the held-out pairs before and after. Needs libtorch. */

import { join } from "node:path";
import { at } from "../base/at.ts";
import { DataError, TrainingError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { shellWord } from "../base/shell-word.ts";
import { type ConfigInput, loadConfig, type ResolvedConfig } from "../config/load-config.ts";
import type { RunConfig } from "../config/run-config.ts";
import { promptKeyOf } from "../data/fingerprint.ts";
import { assertPreflight } from "../data/preflight.ts";
import { askedQuantisation } from "../formats/quantisation.ts";
import { settleEnvironment } from "../forward/environment.ts";
import { scoreBatch } from "../forward/score-batch.ts";
import { withLocalModels } from "../hub/hub-model.ts";
import { loadModel } from "../models/load.ts";
import { train } from "../recipes/train.ts";
import { runPaths } from "../runs/run-directory.ts";
import { scope } from "../torch/index.ts";
import { prepareData } from "../train/prepare-data.ts";
import { evaluationBatches } from "../train/step-source.ts";
import { changedContents, contentKey, contentsOf, startKey } from "./content.ts";
import { isOfStart, markText, type RunDestination, writeStart } from "./reuse.ts";
import { RunStoppedError } from "./stopped.ts";
import { extraName, type HeldOutPair, heldOutName } from "./trial.ts";

/** What to run. Plain data: it goes to another process. */
export interface RunTask extends RunDestination {
  config: ConfigInput;
  /** What else is measured, and the module that measures it: see {@link Extras}. Null for nothing. */
  extra: { name: string; module: string } | null;
}

/**
 * `extras` of a module that measures what a grid knows nothing of, by name: writes a JSON file about a finished run. `input` is what its
 * configuration was read from.
 */
export type Extras = Readonly<
  Record<string, (resolved: ResolvedConfig, path: string, input: ConfigInput) => Promise<void>>
>;

/**
 * Runs `task`.
 *
 * @param signal - ends the training after the step at hand; what comes after it, measuring, is done to its end
 * @throws {RunStoppedError} if it was stopped: there is a checkpoint to resume from
 * @throws {PreftuneError} with what is wrong; the run directory stays
 */
export async function runTrial(task: RunTask, signal?: AbortSignal): Promise<void> {
  const resolved = loadConfig(task.config);
  const { config } = resolved;
  const read = contentsOf(config);
  for await (const event of train(resolved, signal === undefined ? {} : { signal })) {
    if (event.type === "end" && event.summary.reason === "stopped") {
      throw new RunStoppedError(`stopped after step ${event.summary.step}`);
    }
    if (event.type === "end" && event.summary.exported.length === 0) {
      const { reason, collapse } = event.summary;
      const what = collapse === null ? reason : `${reason}: ${collapse.breaches.join("; ")}`;
      throw new TrainingError(`the run ended without a model to measure (${what})`);
    }
  }
  refuseChanged(task.dir, read, contentsOf(config));
  const key = startKey(config);
  if (isOfStart(task.before, key) !== true) {
    writeStart(task.before, pairsText(await scorePairs(config, startOf(config))), key);
  }
  // of an earlier start too: it may have exported something else
  writeFileAtomic(join(task.dir, heldOutName), pairsText(await scorePairs(config, exportOf(config))));
  if (task.extra !== null) await measureExtra(task.extra, resolved, task);
  const content = contentKey(config, task.extra?.name ?? null);
  const now = contentsOf(config);
  refuseChanged(task.dir, read, now);
  writeFileAtomic(task.mark, markText({ digest: task.digest, content, read: now }));
}

/** @throws {TrainingError} if what the run read was changed while it ran: it would be measured on something else */
function refuseChanged(
  dir: string,
  read: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): void {
  const changed = changedContents(read, now);
  if (changed.length === 0) return;
  throw new TrainingError(
    `${dir}: ${changed.join(", ")} changed while the run trained, which cannot be measured on something else. ` +
      `Put it back, or train again: rm -r ${shellWord(dir)}`,
  );
}

async function measureExtra(
  { name, module }: NonNullable<RunTask["extra"]>,
  resolved: ResolvedConfig,
  { dir, config }: Pick<RunTask, "dir" | "config">,
): Promise<void> {
  const { extras } = (await import(module)) as { extras: Extras };
  const measure = extras[name];
  if (measure === undefined)
    throw new TrainingError(`${module}: expected a measurement "${name}", found none`);
  await measure(resolved, join(dir, extraName(name)), config);
}

/** A model on disk. */
export interface ModelPlace {
  model: string;
  /** What is put into it, at a scale as `DIR@scale=0.4`. */
  adapter: string | null;
}

function pairsText(pairs: readonly HeldOutPair[]): string {
  return pairs.map((pair) => `${stringifyNumbers(pair)}\n`).join("");
}

function startOf(config: RunConfig): ModelPlace {
  return { model: config.model_name_or_path, adapter: config.use_peft ? config.adapter_name_or_path : null };
}

function exportOf(config: RunConfig): ModelPlace {
  const paths = runPaths(config.output_dir);
  return config.use_peft
    ? { model: config.model_name_or_path, adapter: paths.adapter }
    : { model: paths.model, adapter: null };
}

/**
 * The held-out pairs of `config` under a model.
 *
 * @throws {DataError} if there are none
 */
export async function scorePairs(config: RunConfig, place: ModelPlace): Promise<HeldOutPair[]> {
  const { model: base, adapter } = await withLocalModels(place);
  const { dataset } = await prepareData({ ...config, model_name_or_path: base, task: "preference" });
  assertPreflight(dataset.report);
  const examples = dataset.evalExamples ?? [];
  if (examples.length === 0) {
    throw new DataError(
      "expected held-out pairs, got none: give eval_data or eval_fraction, with prompts that are not trained on.",
    );
  }
  const { device, dtype } = settleEnvironment(config);
  using _ = scope();
  const quantise = askedQuantisation(config);
  const model = loadModel(base, { device, dtype, adapter, quantise });
  const keys = examples.map(promptKeyOf);
  const numbers = new Map([...new Set(keys)].map((key, i) => [key, i]));
  const pairs = examples.map(({ origin: { file, line } }, i): HeldOutPair => {
    return { file, line, prompt: numbers.get(at(keys, i)) ?? i, chosen: [], rejected: [] };
  });
  const numerics = { dtype, gradient_checkpointing: false, logits_chunk_size: null };
  for (const batch of evaluationBatches(examples, config)) {
    for (const score of scoreBatch(model, batch, numerics)) {
      const pair = at(pairs, score.index);
      pair[score.completion === 0 ? "chosen" : "rejected"] = Array.from(score.logps);
    }
  }
  return pairs;
}
