/** Where a contestant's model lies: a run, a checkpoint of it, a model or an adapter, and the base model that an adapter is of. */
import { existsSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { isFolder } from "../base/open-file.ts";
import { isTunedModel, readAdapter } from "../formats/adapter.ts";
import { adapterPlace, scaledPlace } from "../formats/adapter-scale.ts";
import { noPlace, type PlaceKind, requirePlace } from "../formats/model-place.ts";
import { listCheckpoints } from "../runs/checkpoints.ts";
import { isRun, runAround, runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import { wholePaths } from "../runs/whole-paths.ts";

/** A model as `arena.yaml` names it. */
interface NamedModel {
  model_name_or_path?: string;
  adapter?: string;
  adapter_scale?: number;
}

/**
 * The base model and the adapter, or the part of a tuned model, that is put on it; null: none. What looks like a hub id is left for
 * whoever loads it.
 *
 * @throws {PreftuneError} when there is no such model here
 */
export function heldModel({ model_name_or_path: model, adapter, adapter_scale }: NamedModel): {
  base: string;
  adapter: string | null;
} {
  if (adapter === undefined) return { base: foundModel(model ?? ""), adapter: null };
  const { place, scale } = adapterPlace(scaledPlace(adapter, adapter_scale ?? null));
  // a scale is of the whole training: the export of a run may be a part of it already
  const takesWhole = adapter_scale !== undefined || place !== adapter;
  const dir = placeOf(place, ["adapter", "model"], takesWhole);
  const isTuned = isFolder(dir) && isTunedModel(dir);
  // all of a tuned model is a model by itself
  if (isTuned && scale === 1) return { base: real(dir), adapter: null };
  if (!isTuned) requireModel(dir, "adapter");
  const base = foundModel(model ?? baseOf(dir));
  return { base, adapter: scaledPlace(real(dir), scale) };
}

function foundModel(path: string): string {
  const dir = placeOf(path, ["model", "adapter"]);
  requireModel(dir, "model");
  return real(dir);
}

function real(dir: string): string {
  return isFolder(dir) ? realpathSync(dir) : dir;
}

/** Where the model of a run, or of a checkpoint that is named as if it lay in the run itself, is; other paths as they are. */
function placeOf(path: string, exports: readonly ("adapter" | "model")[], takesWhole = false): string {
  if (isRun(path)) return exportOf(path, exports, takesWhole);
  const [run, name] = [dirname(path), basename(path)];
  const checkpoint = join(run, basename(runPaths(run).checkpoints), name);
  return !existsSync(path) && /^checkpoint-\d+$/.test(name) && isFolder(checkpoint) ? checkpoint : path;
}

function exportOf(run: string, exports: readonly ("adapter" | "model")[], takesWhole: boolean): string {
  const paths = takesWhole ? wholePaths(runPaths(run)) : runPaths(run);
  const found = exports.map((name) => paths[name]).find(isFolder);
  if (found !== undefined) return found;
  const last = listCheckpoints(paths.checkpoints).at(-1)?.path;
  throw new ConfigError(
    `${run}: expected a run with what it exported, which it has at its end, and there is none yet. ${
      last === undefined
        ? "It has no checkpoint yet either: wait for one."
        : `Give its newest checkpoint, ${last}.`
    }`,
  );
}

function requireModel(dir: string, kind: PlaceKind): void {
  const mayBeHubId = !existsSync(dir) && !isFolder(dirname(dir)) && /^[^/\s]+\/[^/\s]+$/.test(dir);
  if (isFolder(dir)) requirePlace(dir, kind);
  else if (!mayBeHubId) throw noPlace(dir, kind);
}

/** What the adapter, or the run that it lies in, calls its base model. */
function baseOf(dir: string): string {
  const remedy = "Give its base model as model_name_or_path.";
  if (!isFolder(dir))
    throw new ConfigError(`${dir}: what this is an adapter of is known once it is fetched. ${remedy}`);
  const run = runAround(dir);
  const named = isTunedModel(dir) ? null : readAdapter(dir).config.baseModel;
  const base =
    named ?? (run === undefined ? null : readRunJson(runPaths(run).runJson).config.model_name_or_path);
  if (base === null) throw new ConfigError(`${dir}: it does not say which model it is of. ${remedy}`);
  try {
    requireModel(base, "model");
  } catch (error) {
    if (error instanceof Error)
      error.message = `${dir} is of ${base}, which is not here. ${remedy} ${error.message}`;
    throw error;
  }
  return base;
}
