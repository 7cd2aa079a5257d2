/**
 * Finds the weights of a Hugging Face model directory: one safetensors file, or shards with an index.
 *
 * Index and shards must agree completely, and nothing outside the directory is opened on the index's word.
 */
import { existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join, relative, sep } from "node:path";
import { FileError, FormatError } from "../base/errors.ts";
import { fileFailure } from "../base/file-io.ts";
import { readJsonFile } from "../base/files.ts";
import { isRecord } from "../base/is-record.ts";
import type { JsonLimits } from "../base/json-limits.ts";
import { warn } from "../base/warn.ts";
import { readSafetensorsHeader, type SafetensorsFile, type TensorEntry } from "./safetensors.ts";
import { maxTensors } from "./safetensors-layout.ts";

/** Where a tensor is. */
export interface WeightLocation {
  file: SafetensorsFile;
  entry: TensorEntry;
}

/** All tensors of a model directory; headers are read and checked, data is not. */
export interface WeightIndex {
  files: SafetensorsFile[];
  tensors: Map<string, WeightLocation>;
  /** Bytes of tensor data in all files. */
  totalBytes: number;
}

/** File name of unsharded weights. */
export const singleFileName: string = "model.safetensors";

/** Shards of the largest published models are fewer than two hundred. */
const maxShards = 10_000;

/** What an index may have: `weight_map` has an entry for each tensor. */
export const indexLimits: JsonLimits = {
  bytes: 64 * 2 ** 20,
  depth: 64,
  members: maxTensors,
  elements: maxTensors,
  parts: maxTensors,
};

/** File name of the index of sharded weights. */
export const indexFileName: string = "model.safetensors.index.json";

/**
 * The checked weights of a model directory.
 *
 * `model.safetensors` is taken before an index when both are there, as transformers does.
 * @throws {FileError} when the directory or a shard is missing
 * @throws {FormatError} for pickles, GGUF, empty directories, and index and shards that disagree
 */
export function openWeights(dir: string): WeightIndex {
  const names = listDirectory(dir);
  if (names.includes(singleFileName)) {
    if (names.includes(indexFileName)) {
      warn(
        `${dir}: ${singleFileName} is used, as transformers does; ${indexFileName} and its shards are not.`,
      );
    }
    return merge([readSafetensorsHeader(inside(dir, singleFileName))]);
  }
  if (names.includes(indexFileName)) return openShards(dir);
  throw new FormatError(explainMissing(dir, names));
}

function listDirectory(dir: string): string[] {
  try {
    if (!statSync(dir).isDirectory()) {
      throw new FileError(`Expected a model directory, got the file ${dir}. Pass the directory it is in.`);
    }
    return readdirSync(dir);
  } catch (cause) {
    throw fileFailure({ action: "read model directory", path: dir, cause });
  }
}

/** What stands in the directory instead of safetensors weights, and the way out. */
function explainMissing(dir: string, names: readonly string[]): string {
  const wanted = `${dir}: expected ${singleFileName} or ${indexFileName}`;
  const found = (pattern: RegExp): string | undefined => names.find((name) => pattern.test(name));
  const pickle = found(/^pytorch_model.*\.bin$|\.(pt|pth|ckpt|pkl)$/);
  const gguf = found(/\.gguf$/);
  const other = found(/\.safetensors$/);
  if (names.includes("adapter_config.json")) {
    return `${wanted}, got a PEFT adapter. Pass it as the adapter, and its base model as the model.`;
  }
  if (other !== undefined) {
    return `${wanted}, got ${other} and no index. Rename a single file to ${singleFileName}, or add the missing index.`;
  }
  if (pickle !== undefined) {
    return (
      `${wanted}, got the pickle ${pickle}. Pickles can run code when loaded and are never opened here. Convert it: ` +
      "load the model in transformers and call save_pretrained(..., safe_serialization=True)."
    );
  }
  if (gguf !== undefined) {
    return `${wanted}, got only ${gguf}. GGUF cannot be trained here; use the Hugging Face directory it was made from.`;
  }
  if (names.length === 0) return `${wanted}, the directory is empty. Check the path or finish the download.`;
  return `${wanted}, got neither. Check the path or finish the download.`;
}

function openShards(dir: string): WeightIndex {
  const indexPath = join(dir, indexFileName);
  const weightMap = readWeightMap(indexPath);
  const shardNames = [...new Set(weightMap.values())].sort();
  if (shardNames.length > maxShards) {
    throw new FormatError(
      `${indexPath}: expected at most ${maxShards} shards, it names ${shardNames.length}. Download the model again.`,
    );
  }
  const missing = shardNames.filter((name) => !existsSync(shardPath(dir, name, indexPath)));
  if (missing.length > 0) {
    throw new FileError(
      `${dir}: ${missing.length} of ${shardNames.length} shards named by ${indexFileName} are missing: ` +
        `${listNames(missing)}. Finish the download.`,
    );
  }
  const weights = merge(shardNames.map((name) => readSafetensorsHeader(shardPath(dir, name, indexPath))));
  requireAgreement(weights, weightMap, indexPath);
  return weights;
}

function readWeightMap(indexPath: string): Map<string, string> {
  const index = readJsonFile(indexPath, indexLimits);
  const { weight_map: map } = isRecord(index) ? index : {};
  if (!isRecord(map) || Object.keys(map).length === 0) {
    throw new FormatError(
      `${indexPath}: expected "weight_map" to map tensor names to files. Download it again.`,
    );
  }
  const weightMap = new Map<string, string>();
  for (const [tensor, shard] of Object.entries(map)) {
    if (typeof shard !== "string") {
      throw new FormatError(
        `${indexPath}: weight_map "${tensor}": expected a file name, got ${JSON.stringify(shard)}. Download it again.`,
      );
    }
    weightMap.set(tensor, shard);
  }
  return weightMap;
}

/** The path of a shard, after its name has proved to be a plain safetensors file name. */
function shardPath(dir: string, name: string, indexPath: string): string {
  if (!/^[^/\\:\0]+\.safetensors$/.test(name) || name.startsWith(".")) {
    throw new FormatError(
      `${indexPath}: expected shard names like "model-00001-of-00002.safetensors", got ${JSON.stringify(name)}. ` +
        "A shard must lie in the model directory itself; do not use this model if you did not write that.",
    );
  }
  const path = join(dir, name);
  return existsSync(path) ? inside(dir, name) : path;
}

/**
 * The path of `name` in `dir`, refused when a symbolic link leads out of it.
 *
 * The hub's own cache is let pass: there `snapshots/<revision>/` holds links into `blobs/` of the same model.
 */
function inside(dir: string, name: string): string {
  const path = join(dir, name);
  if (!existsSync(path)) {
    throw new FileError(`${path}: the link leads to nothing. Download the file again.`);
  }
  const realDir = realpathSync(dir);
  const real = realpathSync(path);
  const snapshots = dirname(realDir);
  const blobs = basename(snapshots) === "snapshots" ? join(dirname(snapshots), "blobs") : null;
  if (isWithin(realDir, real) || (blobs !== null && isWithin(blobs, real))) return path;
  throw new FormatError(
    `${path}: expected a file in the model directory, got a symbolic link to ${real}. ` +
      "Copy or move the file into the directory.",
  );
}

function isWithin(dir: string, path: string): boolean {
  const way = relative(dir, path);
  return way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

function merge(files: SafetensorsFile[]): WeightIndex {
  const tensors = new Map<string, WeightLocation>();
  let totalBytes = 0;
  for (const file of files) {
    for (const entry of file.tensors.values()) {
      const other = tensors.get(entry.name);
      if (other !== undefined) {
        throw new FormatError(
          `${file.path}: tensor "${entry.name}" is also in ${basename(other.file.path)}; expected it once. ` +
            "Download or export the model again.",
        );
      }
      tensors.set(entry.name, { file, entry });
      totalBytes += entry.end - entry.begin;
    }
  }
  return { files, tensors, totalBytes };
}

function requireAgreement(
  weights: WeightIndex,
  weightMap: ReadonlyMap<string, string>,
  indexPath: string,
): void {
  const misplaced = [...weightMap].filter(([tensor, shard]) => {
    const location = weights.tensors.get(tensor);
    return location === undefined || basename(location.file.path) !== shard;
  });
  const [first] = misplaced;
  if (first !== undefined) {
    throw new FormatError(
      `${indexPath}: expected tensor "${first[0]}" in ${first[1]}, it is not there (${misplaced.length} such tensors). ` +
        "Index and shards are from different models; download both again.",
    );
  }
  const unlisted = [...weights.tensors.keys()].filter((name) => !weightMap.has(name));
  if (unlisted.length > 0) {
    throw new FormatError(
      `${indexPath}: the shards hold tensors it does not list: ${listNames(unlisted)}. ` +
        "Index and shards are from different models; download both again.",
    );
  }
}

function listNames(names: readonly string[]): string {
  const shown = names.slice(0, 3).map((name) => `"${name}"`);
  return shown.join(", ") + (names.length > 3 ? ` and ${names.length - 3} more` : "");
}
