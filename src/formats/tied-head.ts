/**
 * Whether a checkpoint's output head is the embedding's matrix. `tie_word_embeddings` says so, but the files may hold a
 * separate head as well, as PEFT's merge of a head trained over a tied model leaves them.
 *
 * As transformers 5 (`PreTrainedModel.tie_weights`): a stored head that differs from the stored embedding is used and
 * not tied; an equal one is tied; where only one of the two is stored, it is both.
 */
import { closeSync, existsSync, readSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, PreftuneError } from "../base/errors.ts";
import { fileFailure } from "../base/file-io.ts";
import { openFile } from "../base/open-file.ts";
import { warn } from "../base/warn.ts";
import { embeddingName, headName, textNames } from "./checkpoint-names.ts";
import { readModelConfig } from "./hf-config.ts";
import type { ModelConfig } from "./model-config.ts";
import {
  indexFileName,
  openWeights,
  singleFileName,
  type WeightIndex,
  type WeightLocation,
} from "./weight-index.ts";

/** A checkpoint's configuration and tensors as its files have them. */
export interface StoredModel {
  /** `tieWordEmbeddings` is false where a separate head is stored. */
  config: ModelConfig;
  index: WeightIndex;
  /** Stored names by the names of a text-only checkpoint. */
  names: ReadonlyMap<string, string>;
}

/**
 * Reads the headers of the model in `dir`, and decides what its head is. A head that is used against config.json is
 * warned of.
 *
 * @throws {FormatError} for anything the directory has wrong, naming file and tensor
 */
export function openModel(dir: string): StoredModel {
  const config = readModelConfig(dir);
  const index = openWeights(dir);
  const names = textNames(dir, index, config);
  if (!config.tieWordEmbeddings) return { config, index, names };
  const place = (name: string) => index.tensors.get(names.get(name) ?? "");
  const [head, embedding] = [place(headName), place(embeddingName)];
  if (head === undefined) return { config, index, names };
  if (embedding === undefined) {
    const stored = names.get(headName) as string;
    return { config, index, names: new Map([...names, [embeddingName, stored]]) };
  }
  if (sameBytes(head, embedding)) return { config, index, names };
  warn(
    `${dir}: config.json says tie_word_embeddings is true, but the files hold an lm_head.weight that is not the ` +
      "embedding. It is used, as transformers 5 does. Set tie_word_embeddings to false: older versions of transformers then use it too.",
  );
  return { config: { ...config, tieWordEmbeddings: false }, index, names };
}

/**
 * @param place - of the model, for the message
 * @throws {ConfigError} if the table of a model's embedding cannot be apart from the rest: its head is the same matrix
 */
export function requireApart(place: string, { tieWordEmbeddings }: ModelConfig): void {
  if (!tieWordEmbeddings) return;
  throw new ConfigError(
    `offload_embedding: ${place} has one matrix for embedding and head (tie_word_embeddings), and the head's products need it on the GPU. ` +
      "Leave it out.",
  );
}

/** The configuration of the model in `dir`, by its weights too where they are there to be read. */
export function storedConfig(dir: string): ModelConfig {
  const hasWeights = [singleFileName, indexFileName].some((name) => existsSync(join(dir, name)));
  if (!hasWeights) return readModelConfig(dir);
  try {
    return openModel(dir).config;
  } catch (error) {
    // half a download has its settings all the same
    if (error instanceof PreftuneError) return readModelConfig(dir);
    throw error;
  }
}

const chunkBytes = 1 << 22;

/** Whether two tensors are stored as the same numbers: of one type and shape, and equal to the byte. */
function sameBytes(a: WeightLocation, b: WeightLocation): boolean {
  if (a.entry.dtype !== b.entry.dtype || String(a.entry.shape) !== String(b.entry.shape)) return false;
  const total = a.entry.end - a.entry.begin;
  const [ofA, ofB] = [Buffer.alloc(Math.min(chunkBytes, total)), Buffer.alloc(Math.min(chunkBytes, total))];
  using readA = reader(a);
  using readB = reader(b);
  for (let at = 0; at < total; at += chunkBytes) {
    const size = Math.min(chunkBytes, total - at);
    if (!readA(ofA, at, size).equals(readB(ofB, at, size))) return false;
  }
  return true;
}

type Reader = Disposable & ((into: Buffer, at: number, size: number) => Buffer);

function reader({ file, entry }: WeightLocation): Reader {
  const fd = openFile(file.path);
  const read = (into: Buffer, at: number, size: number): Buffer => {
    try {
      const got = readSync(fd, into, 0, size, file.dataStart + entry.begin + at);
      return into.subarray(0, got);
    } catch (cause) {
      throw fileFailure({ action: "read", path: file.path, cause });
    }
  };
  return Object.assign(read, { [Symbol.dispose]: () => closeSync(fd) });
}
