/** The model that a round begins with, and what is trained on its pairs. */
import { existsSync } from "node:fs";
import { ConfigError } from "../base/errors.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { shellWord } from "../base/shell-word.ts";
import { type ConfigInput, loadConfig, type ResolvedConfig } from "../config/load-config.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import { answererName } from "../evaluate/answers/answerer.ts";
import { withLocalModels } from "../hub/hub-model.ts";
import { isRun, runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import type { RoundSettings } from "../workbench/rounds/round-file.ts";
import { isRound, readRound, roundName, roundPaths } from "../workbench/rounds/round-record.ts";

/** A model on this disk. */
export interface ModelPlace {
  model: string;
  adapter: string | null;
}

/** A model with the name that labels and comparisons call it by. */
export interface NamedPlace extends ModelPlace {
  name: string;
}

/**
 * The model that `given` stands for: what a round or a run exported, or a model itself.
 *
 * @throws {ConfigError} where a round has no trained model yet, or a run exported none
 */
export function placeOf(given: string): NamedPlace {
  if (isRound(given)) {
    if (readRound(given).nodes.training !== undefined)
      return { name: roundName(given), ...exportOf(roundPaths(given).run) };
    throw new ConfigError(
      `model: ${given}: expected a round whose model is trained, it is not yet. Continue it: preftune round ${shellWord(given)}`,
    );
  }
  if (isRun(given)) return { name: roundName(given), ...exportOf(given) };
  return { name: answererName({ kind: "model", model: given, adapter: null }), model: given, adapter: null };
}

/** What the run in `dir` exported. @throws {ConfigError} where it has not */
export function exportOf(dir: string): ModelPlace {
  const { runJson, adapter, model } = runPaths(dir);
  if (existsSync(adapter)) return { model: readRunJson(runJson).config.model_name_or_path, adapter };
  if (existsSync(model)) return { model, adapter: null };
  throw new ConfigError(
    `${dir}: expected a run with its export, there is neither ${adapter} nor ${model}. Resume it, or name another model.`,
  );
}

/** The same model as directories: a hub id is looked up or fetched. */
export async function local<P extends ModelPlace>(place: P, onPhase: PhaseListener): Promise<P> {
  const { model, adapter } = await withLocalModels({
    model: place.model,
    ...(place.adapter === null ? {} : { adapter: place.adapter }),
    onPhase,
  });
  return { ...place, model, adapter: adapter ?? null };
}

/**
 * The configuration of a round's training: model, rows and directory are the round's, whatever its file says.
 *
 * @param rows - the version's file
 * @throws {ConfigError} naming every wrong value; for a training that a round cannot have
 */
export function trainingOf(
  { model, config: file, values, output_dir }: RoundSettings,
  start: NamedPlace,
  { rows, isResume = false }: { rows: string; isResume?: boolean },
): ResolvedConfig {
  const run = roundPaths(output_dir).run;
  const own = { model_name_or_path: start.model, train_data: rows, output_dir: run };
  const named = Object.hasOwn(values, "run_name") ? {} : { run_name: roundName(output_dir) };
  const input: ConfigInput = {
    ...(file === null ? {} : { file }),
    values: { ...values, ...named, ...own },
    overrides: [
      ...(start.adapter === null ? [] : [["adapter_name_or_path", start.adapter] as const]),
      ...(isResume ? [["resume_from_checkpoint", "latest"] as const] : []),
    ],
  };
  const resolved = loadConfig(input);
  const { config } = resolved;
  if (isOnPolicy(config))
    throw new ConfigError(
      "the training of a round learns from the rows that the round makes: take reward_funcs, reward_model and judge out of its configuration.",
    );
  if (start.adapter !== null && !config.use_peft)
    throw new ConfigError(
      `model: ${model} is an adapter of ${start.model}, and use_peft: false trains all weights. Set use_peft: true, or merge it first: ` +
        `preftune merge --model ${shellWord(start.model)} --adapter ${shellWord(start.adapter)} --output NEW`,
    );
  return resolved;
}
