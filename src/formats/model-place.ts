/** Whether a directory holds a model or an adapter, and where it is when the path given is one folder off. */
import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { FileError, PreftuneError } from "../base/errors.ts";
import { readJsonFile } from "../base/files.ts";
import { isRecord } from "../base/is-record.ts";
import { settingsLimits } from "../base/json-limits.ts";
import { isFolder } from "../base/open-file.ts";
import { closest } from "../base/suggest.ts";
import { isSliceFile } from "./slices.ts";

/** What is looked for. */
export type PlaceKind = "model" | "adapter";

/** The file that makes a directory one. */
const marks: Readonly<Record<PlaceKind, string>> = { model: "config.json", adapter: "adapter_config.json" };
const words: Readonly<Record<PlaceKind, string>> = {
  model: "a model directory",
  adapter: "a PEFT adapter directory",
};

/**
 * Refuses a directory that holds no model, or no adapter, with the path that was probably meant.
 *
 * @throws {FileError} naming what is there instead
 */
export function requirePlace(path: string, kind: PlaceKind): void {
  if (holds(path, kind)) return;
  const expected = `${path}: expected ${words[kind]} with ${marks[kind]}`;
  if (isFolder(path) && readdirSync(path).some(isSliceFile)) {
    throw new FileError(
      `${expected}, got a checkpoint that several ranks wrote in parts, which is for resuming. ` +
        "Resume its run (preftune train RUN.yaml --resume) and take what that exports.",
    );
  }
  const near = placesNear(path, kind);
  if (near.length > 0) throw new FileError(`${expected}, there is none.${meant(near)}`);
  const other = kind === "model" ? "adapter" : "model";
  const [found = null] = holds(path, other) ? [path] : placesNear(path, other);
  if (found === null) throw new FileError(`${expected}, there is none. Check the path.`);
  const what =
    found === path ? `got ${words[other]}` : `got a directory with ${words[other]} in it, ${found}`;
  throw new FileError(`${expected}, ${what}. ${remedy(found, other)}`);
}

/** Refuses a path at which there is no directory, with one that was probably meant. */
export function noPlace(path: string, kind: PlaceKind): FileError {
  const [folder, name] = [dirname(path), basename(path)];
  if (existsSync(path)) {
    const near = holds(folder, kind) ? [folder] : placesNear(folder, kind);
    const hint = near.length > 0 ? meant(near) : " Give the directory it is in.";
    return new FileError(`${path}: expected ${words[kind]}, got a file.${hint}`);
  }
  // a run has "model" or "adapter", and whoever asks for one may want the other's neighbour
  const isPartOfRun = /^(model|adapter|checkpoint-\d+)$/.test(name);
  const typo = closest(name, foldersIn(folder));
  const near = isPartOfRun ? placesBelow(folder, kind) : [];
  const hint = near.length === 0 && typo !== null ? [join(folder, typo)] : near;
  return new FileError(
    `${path}: expected ${words[kind]} or a hub id (owner/name, hub:owner/name@revision), but there is no such ` +
      `directory and it is no hub id.${meant(hint)} Check the path.`,
  );
}

function remedy(found: string, kind: PlaceKind): string {
  if (kind === "model")
    return `Give ${found} as the model, or a part of it as an adapter: ${found}@scale=0.4.`;
  const base = baseModelOf(found);
  return `Give ${found} as the adapter, and its base model${base === null ? "" : `, ${base},`} as the model.`;
}

/** What an adapter's settings call its base model. */
function baseModelOf(adapter: string): string | null {
  try {
    const settings = readJsonFile(join(adapter, marks.adapter), settingsLimits);
    const base = isRecord(settings) ? settings["base_model_name_or_path"] : null;
    return typeof base === "string" && base !== "" ? base : null;
  } catch (error) {
    if (error instanceof PreftuneError) return null;
    throw error;
  }
}

function meant(near: readonly string[]): string {
  const [first] = near;
  if (first === undefined) return "";
  const others = near.slice(1, 4).map((path) => `"${path}"`);
  return ` Did you mean "${first}"?${others.length > 0 ? ` There are also ${others.join(", ")}.` : ""}`;
}

function holds(path: string, kind: PlaceKind): boolean {
  return existsSync(join(path, marks[kind]));
}

/** Directories one folder below or above, and a run's last checkpoint. */
function placesNear(path: string, kind: PlaceKind): string[] {
  const above = dirname(path);
  return [...placesBelow(path, kind), ...(above !== path && holds(above, kind) ? [above] : [])];
}

function placesBelow(path: string, kind: PlaceKind): string[] {
  const children = foldersIn(path).map((name) => join(path, name));
  const checkpoints = foldersIn(join(path, "checkpoints"))
    .filter((name) => /^checkpoint-\d+$/.test(name))
    .sort((a, b) => Number(b.split("-")[1]) - Number(a.split("-")[1]))
    .slice(0, 1)
    .map((name) => join(path, "checkpoints", name));
  return [...children, ...checkpoints].filter((place) => holds(place, kind));
}

function foldersIn(path: string): string[] {
  if (!isFolder(path)) return [];
  const names = readdirSync(path).filter((name) => !name.startsWith(".") && isFolder(join(path, name)));
  return names.sort();
}
