/** What a GGUF file is made of: a run with what it was trained with, or a model directory. */
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { ConfigError, FileError } from "../base/errors.ts";
import { readJsonFile } from "../base/files.ts";
import { isFolder } from "../base/open-file.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { readSealed } from "../base/sealed.ts";
import { shellWord } from "../base/shell-word.ts";
import type { RunConfig } from "../config/run-config.ts";
import { adapterPlace } from "../formats/adapter-scale.ts";
import { modelFingerprint } from "../formats/model-fingerprint.ts";
import { askedQuantisation, type Quantisation } from "../formats/quantisation.ts";
import { type Lineage, noLineage } from "../gguf/lineage.ts";
import { resolveModelDirectory } from "../hub/hub-model.ts";
import { exportedScale } from "../report/facts-section.ts";
import { checkAdaptedBase } from "../runs/adapted-base.ts";
import { hubBase, hubDataSets } from "../runs/lineage.ts";
import { type RunPaths, readFingerprints, runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import { wholePaths } from "../runs/whole-paths.ts";
import { ownChatTemplate } from "../text/tokenizer-files.ts";
import { broughtTemplate } from "../text/trained-template.ts";

/** Where weights, tokenizer and template come from. */
export interface GgufOrigin {
  /** Directories. */
  model: string;
  adapter: string | null;
  /** How the base's linears were held when the adapter was trained; null: as they are stored. */
  quantise: Quantisation | null;
  /** The run, its model a directory; null for a model. */
  run: RunConfig | null;
  /** Text, name or file of the chat template that it was trained with; null: the tokenizer's own. */
  chatTemplate: string | null;
  /** Its name in the file. */
  name: string;
  /** What a run was made of, as far as others find it; nothing of a model. */
  lineage: Lineage;
}

/**
 * The model of a run, or the model in a directory or of a hub id with an adapter.
 *
 * @param takesWhole - of a run whose export takes a part of its training, the whole of it
 * @throws {ConfigError} for a run and an adapter
 * @throws {FileError} for a run that has exported nothing
 */
export async function ggufOrigin(
  source: string,
  {
    adapter,
    quantise,
    takesWhole = false,
  }: Pick<GgufOrigin, "adapter" | "quantise"> & { takesWhole?: boolean },
  onPhase: PhaseListener,
): Promise<GgufOrigin> {
  const name = basename(resolve(source));
  const paths = runPaths(source);
  if (existsSync(paths.runJson)) {
    if (adapter === null && quantise === null) {
      return { ...(await originOfRun(takesWhole ? wholePaths(paths) : paths, onPhase)), name };
    }
    throw new ConfigError(
      `${source} is a run, which has its own adapter or model, and its base as it was held: expected no ` +
        `${adapter === null ? "option that quantises" : "--adapter"}. Give the base model instead of the run to export another adapter with it.`,
    );
  }
  const search = { onPhase };
  const model = await resolveModelDirectory(source, search);
  const given =
    adapter === null ? null : await resolveModelDirectory(adapter, { ...search, kind: "adapter" });
  checkAdaptedBase({ model, adapter: given, quantise });
  const scale = given === null ? 1 : adapterPlace(given).scale;
  const chatTemplate = given === null ? null : broughtTemplate(given, model);
  return { model, adapter: given, quantise, run: null, chatTemplate, name, lineage: { ...noLineage, scale } };
}

async function originOfRun(paths: RunPaths, onPhase: PhaseListener): Promise<Omit<GgufOrigin, "name">> {
  const { config } = readRunJson(paths.runJson);
  const base = hubBase(paths, config);
  const read = existsSync(paths.fingerprints) ? readFingerprints(paths.fingerprints) : null;
  const scale = exportedScaleOf(paths);
  const lineage = {
    ...{ baseModels: base === null ? [] : [base.name], datasets: hubDataSets(read) },
    ...(scale === null ? {} : { scale }),
  };
  const hasAdapter = isFolder(paths.adapter);
  if (!hasAdapter && !isFolder(paths.model)) {
    throw new FileError(
      `${paths.dir}: expected a finished run with its export in adapter/ or model/, there is none. Export the model of a checkpoint's ` +
        `directory, or let the run finish: preftune train ${shellWord(paths.configYaml)} --resume`,
    );
  }
  const model = hasAdapter ? await pinnedModel(paths, config, onPhase) : paths.model;
  const [exported, start] = hasAdapter ? [paths.adapter, model] : [paths.model, config.model_name_or_path];
  const chatTemplate = trainedTemplate(config.chat_template, exported, start);
  const run = { ...config, model_name_or_path: model, chat_template: chatTemplate };
  if (!hasAdapter) return { model, adapter: null, quantise: null, run, chatTemplate, lineage };
  const quantise = askedQuantisation(config);
  return { model, adapter: paths.adapter, quantise, run, chatTemplate, lineage };
}

/**
 * The chat template of a run's export, where the run was given one, whose file may be gone or changed by now. Exports of earlier versions
 * have the tokenizer's instead.
 *
 * @param start - the model that the run began with, if it is a directory
 */
function trainedTemplate(given: string | null, exported: string, start: string): string | null {
  if (given === null) return null;
  const own = ownChatTemplate(exported);
  const isOfRun = isFolder(start) ? own !== ownChatTemplate(start) : !existsSync(given);
  return own !== null && isOfRun ? own : given;
}

/** How much of its training a run exported, where it chose that; null of the whole beside it. */
export function exportedScaleOf(paths: RunPaths): number | null {
  const isWhole = paths.adapter !== runPaths(paths.dir).adapter;
  if (isWhole || !existsSync(paths.exportJson)) return null;
  return exportedScale({ exported: readJsonFile(paths.exportJson) });
}

/** The directory of the model that a run names, at the revision that it began with. */
function pinnedModel(
  { dir }: Pick<RunPaths, "dir">,
  config: Pick<RunConfig, "model_name_or_path">,
  onPhase: PhaseListener,
): Promise<string> {
  const pinned = join(dir, "models.json");
  const known = existsSync(pinned) ? (readSealed(pinned) as Record<string, string>) : {};
  return resolveModelDirectory(known["model_name_or_path"] ?? config.model_name_or_path, { onPhase });
}

/**
 * The model that a run began with.
 *
 * @throws {ConfigError} if that was an adapter, which no scale leads back to, or if another model is in its place now
 * @throws {FileError} if it is gone
 */
export async function startOfRun(run: string, onPhase: PhaseListener): Promise<string> {
  const paths = runPaths(run);
  const { config } = readRunJson(paths.runJson);
  if (config.adapter_name_or_path !== null) {
    throw new ConfigError(
      `${run}: the run began with the adapter ${config.adapter_name_or_path}, and scale 0 would be the model without any. Merge that adapter and train on the result.`,
    );
  }
  const start = await pinnedModel(paths, config, onPhase).catch((error) => {
    if (!(error instanceof FileError)) throw error;
    throw new FileError(
      `${run}: a scale needs the model that the run began with, which is scale 0, and it cannot be read. Put it back there. ${error.message}`,
      { cause: error },
    );
  });
  const isOther =
    existsSync(paths.fingerprints) && readFingerprints(paths.fingerprints).model !== modelFingerprint(start);
  if (isOther) {
    throw new ConfigError(
      `${run}: ${start} has changed since the run began with it, and scale 0 would be another model. Put the weights of then back there.`,
    );
  }
  return start;
}
