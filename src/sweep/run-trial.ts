/** One run of a grid: trains, then measures the held-out pairs before and after. Needs libtorch. */

import { join } from "node:path";
import { at } from "../base/at.ts";
import { DataError, TrainingError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { statsOf } from "../base/open-file.ts";
import { shellWord } from "../base/shell-word.ts";
import { type ConfigInput, loadConfig, type ResolvedConfig } from "../config/load-config.ts";
import type { RunConfig } from "../config/run-config.ts";
import { promptKeyOf } from "../data/fingerprint.ts";
import { askedQuantisation } from "../formats/quantisation.ts";
import { settleEnvironment } from "../forward/environment.ts";
import { scoreBatch } from "../forward/score-batch.ts";
import { withLocalModels } from "../hub/hub-model.ts";
import { loadModel } from "../models/load.ts";
import { train } from "../recipes/train.ts";
import { runPaths } from "../runs/run-directory.ts";
import { scope, setDeterministic } from "../torch/index.ts";
import { evaluationBatches } from "../train/step-source.ts";
import { changedContents, contentKey, contentsOf, startKey } from "./content.ts";
import { type AnswerPlace, heldOutAnswers } from "./held-out-answers.ts";
import { isOfStart, markText, type RunDestination, writeStart } from "./reuse.ts";
import { RunStoppedError } from "./stopped.ts";
import { extraName, type HeldOutPair, heldOutName } from "./trial.ts";

/** What to run. Plain data: it goes to another process. */
export interface RunTask extends RunDestination {
  config: ConfigInput;
  /** What else is measured, and the module that measures it: see {@link Extras}. Null for nothing. */
  extra: { name: string; module: string } | null;
  /** Whether it fails, before it trains, where its held-out rows make no pair. Default: no. */
  needsPairs?: boolean;
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
 * @param signal - keeps the training from beginning, or ends it after the step at hand; each measurement, before it and after it, is
 *   done to its end
 * @throws {RunStoppedError} if it was stopped: there is a checkpoint to resume from, or no run directory yet
 * @throws {PreftuneError} with what is wrong; the run directory stays
 */
export async function runTrial(task: RunTask, signal?: AbortSignal): Promise<void> {
  const resolved = loadConfig(task.config);
  const { config } = resolved;
  const read = contentsOf(config);
  refuseStopped(signal);
  // before the training: what cannot be measured need not be trained
  await measureStart(task, config);
  refuseStopped(signal);
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
  // of an earlier start too: it may have exported something else
  writeFileAtomic(join(task.dir, heldOutName), pairsText(await scorePairs(config, exportOf(config))));
  if (task.extra !== null) await measureExtra(task.extra, resolved, task);
  const content = contentKey(config, task.extra?.name ?? null);
  const now = contentsOf(config);
  refuseChanged(task.dir, read, now);
  writeFileAtomic(task.mark, markText({ digest: task.digest, content, read: now }));
}

/** @throws {RunStoppedError} if the run was stopped before its training began */
function refuseStopped(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new RunStoppedError("stopped before the training began");
}

/**
 * Scores the held-out pairs under the model that the run begins with, unless another run of the grid has.
 *
 * @throws {DataError} if there are none and the task needs some
 * @throws {TrainingError} if the model or the rows were changed meanwhile
 */
async function measureStart({ before, dir, needsPairs = false }: RunTask, config: RunConfig): Promise<void> {
  const key = startKey(config);
  const isKnown = isOfStart(before, key) === true;
  const pairs = isKnown ? null : await scorePairs(config, startOf(config));
  if (needsPairs && (pairs === null ? statsOf(before)?.size === 0 : pairs.length === 0)) {
    throw new DataError(
      "expected a good and a bad answer to a prompt among the held-out rows, since runs are compared by such pairs, got none. " +
        "Give eval_data that has some, or compare on-policy runs by what they sample: metric: reward.",
    );
  }
  if (pairs === null) return;
  if (startKey(config) !== key) {
    throw new TrainingError(`${dir}: the model or the rows changed while they were scored. Start it again.`);
  }
  writeStart(before, pairsText(pairs), key);
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
 * The held-out pairs of `config` under a model; none where no held-out row and no two rows make one.
 *
 * @throws {DataError} if there are no held-out rows
 */
export async function scorePairs(config: RunConfig, place: ModelPlace): Promise<HeldOutPair[]> {
  const { model: base, adapter } = await withLocalModels(place);
  const { rows, pairs } = await heldOutAnswers({ ...config, model_name_or_path: base });
  if (pairs.length === 0) return [];
  const { device, dtype } = settleEnvironment(config);
  setDeterministic(true);
  using _ = scope();
  const quantise = askedQuantisation(config);
  const model = loadModel(base, { device, dtype, adapter, quantise });
  const numerics = { dtype, gradient_checkpointing: false, logits_chunk_size: null };
  const scored: number[][][] = rows.map(() => []);
  for (const batch of evaluationBatches(rows, config)) {
    for (const { index, completion, logps } of scoreBatch(model, batch, numerics))
      at(scored, index)[completion] = Array.from(logps);
  }
  const keys = pairs.map(({ chosen }) => promptKeyOf(at(rows, chosen.row)));
  const numbers = new Map([...new Set(keys)].map((key, i) => [key, i]));
  const of = ({ row, completion }: AnswerPlace) => at(scored, row)[completion] ?? [];
  return pairs.map(({ chosen, rejected }, i): HeldOutPair => {
    const { file, line } = at(rows, chosen.row).origin;
    const other = chosen.row === rejected.row ? {} : { other: at(rows, rejected.row).origin };
    const prompt = numbers.get(at(keys, i)) ?? i;
    return { file, line, ...other, prompt, chosen: of(chosen), rejected: of(rejected) };
  });
}
