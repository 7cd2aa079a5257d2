/** The form of a bad input, and the place it is tried in. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FormatError, type PreftuneError } from "../../src/base/errors.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors.ts";
import { type TensorSource, writeSafetensors } from "../../src/formats/safetensors-write.ts";
import type { Values } from "../support/runs.ts";

/** A directory with a good model, good rows and room for a run; a case spoils one of them. */
export interface Place {
  dir: string;
  /** The model directory, a separate copy. */
  model: string;
  /** Path of something in the place. */
  path(...parts: string[]): string;
}

/** One kind of bad input. */
export interface BadInput {
  kind: string;
  /** Spoils something of the place and gives the configuration values that differ from the good ones. */
  spoil: (place: Place) => Values;
  error: new (message: string) => PreftuneError;
  /** What the message must say: where it is, what was expected or came, what to do. */
  says: RegExp[];
}

/** Replaces the text of a file of the place. */
export function edit(path: string, change: (text: string) => string): void {
  writeFileSync(path, change(readFileSync(path, "utf8")));
}

/** Sets values of a JSON file. */
export function setJson(path: string, values: Readonly<Record<string, unknown>>): void {
  edit(path, (text) => JSON.stringify({ ...JSON.parse(text), ...values }));
}

/** Writes a file of the place and gives its path. */
export function put(place: Place, name: string, content: string | Uint8Array): string {
  const path = join(place.dir, name);
  writeFileSync(path, content);
  return path;
}

/** Path of the place's config.json. */
export function configOf(place: Place): string {
  return join(place.model, "config.json");
}

/** Path of the place's weights. */
export function weightsOf(place: Place): string {
  return join(place.model, "model.safetensors");
}

/** The tensors of the place's weights, to be written again in another form. */
export function tensorsOf(place: Place): TensorSource[] {
  const { tensors, dataStart } = readSafetensorsHeader(weightsOf(place));
  const bytes = readFileSync(weightsOf(place));
  return [...tensors.values()].map(({ name, dtype, shape, begin, end }) => ({
    name,
    dtype,
    shape,
    bytes: () => bytes.subarray(dataStart + begin, dataStart + end),
  }));
}

/** Writes other tensors in place of the place's weights. */
export function rewriteWeights(place: Place, change: (all: TensorSource[]) => TensorSource[]): void {
  const changed = change(tensorsOf(place));
  rmSync(weightsOf(place));
  writeSafetensors(weightsOf(place), changed);
}

/** The beginning of a pickle that would run a command. */
export const pickle: Buffer = Buffer.from([
  0x80, 2, 0x63, 0x6f, 0x73, 0x0a, 0x73, 0x79, 0x73, 0x74, 0x65, 0x6d, 0x0a, 0x2e,
]);

/** A case in which files of the model directory are bad and the configuration is good. */
export function badModel(kind: string, spoil: (place: Place) => unknown, says: RegExp[]): BadInput {
  return {
    kind,
    spoil: (place) => {
      spoil(place);
      return {};
    },
    error: FormatError,
    says,
  };
}
