/** Kinds of weight files that must be refused: lying, damaged, incomplete, or of another format. */
import { readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FileError } from "../../src/base/errors.ts";
import { writeSafetensors } from "../../src/formats/safetensors-write.ts";
import {
  type BadInput,
  badModel,
  edit,
  type Place,
  pickle,
  rewriteWeights,
  tensorsOf,
  weightsOf,
} from "./bad-input.ts";

const embedding = "model.embed_tokens.weight";
const norm = "model.norm.weight";

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

/** Bytes of a safetensors file with this header text. */
function withHeader(text: string, data: Uint8Array): Buffer {
  const header = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8), "utf8");
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, data]);
}

/** Changes the header of the model's weights. */
function editHeader(place: Place, change: (header: Header) => string | undefined): void {
  const bytes = readFileSync(weightsOf(place));
  const headerBytes = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString("utf8")) as Header;
  const text = change(header) ?? JSON.stringify(header);
  writeFileSync(weightsOf(place), withHeader(text, bytes.subarray(8 + headerBytes)));
}

function entryOf(header: Header, name: string): Header[string] {
  const entry = header[name];
  if (entry === undefined) throw new Error(`the tiny model has no ${name}`);
  return entry;
}

/** Divides the weights into two shards with an index. */
function shard(place: Place): { index: string; second: string } {
  const all = tensorsOf(place);
  const names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
  const of = (i: number) => names[i < 3 ? 0 : 1] as string;
  rmSync(weightsOf(place));
  for (const name of names) {
    writeSafetensors(
      join(place.model, name),
      all.filter((_, i) => of(i) === name),
    );
  }
  const index = join(place.model, "model.safetensors.index.json");
  const map = Object.fromEntries(all.map(({ name }, i) => [name, of(i)]));
  writeFileSync(index, JSON.stringify({ metadata: {}, weight_map: map }));
  return { index, second: join(place.model, names[1]) };
}

/** Weights. */
export const badWeights: BadInput[] = [
  badModel("truncated weights", (place) => truncateSync(weightsOf(place), 4000), [
    /model\.safetensors/,
    /Download|export/,
  ]),
  badModel("empty weights", (place) => truncateSync(weightsOf(place), 0), [
    /model\.safetensors/,
    /Download|export/,
  ]),
  badModel(
    "header length beyond the file",
    (place) => {
      const bytes = readFileSync(weightsOf(place));
      bytes.writeBigUInt64LE(2n ** 62n);
      writeFileSync(weightsOf(place), bytes);
    },
    [/header/, /Download|export/],
  ),
  badModel("header that is no JSON", (place) => editHeader(place, () => '{"a":'), [/header/, /JSON/]),
  badModel(
    "offsets beyond the data",
    (place) =>
      editHeader(place, (header) => {
        const entry = entryOf(header, embedding);
        entry.data_offsets = [entry.data_offsets[0], entry.data_offsets[1] + 1e9];
        return undefined;
      }),
    [/model\.embed_tokens\.weight/],
  ),
  badModel(
    "overlapping tensors",
    (place) =>
      editHeader(place, (header) => {
        entryOf(header, norm).data_offsets = [0, 64];
        return undefined;
      }),
    [/overlap/i],
  ),
  badModel(
    "a gap between tensors",
    (place) =>
      editHeader(place, (header) => {
        delete header[norm];
        return undefined;
      }),
    [/gap|cover|bytes/],
  ),
  badModel(
    "a shape that overflows",
    (place) =>
      editHeader(place, (header) => {
        entryOf(header, embedding).shape = [2 ** 40, 2 ** 40];
        return undefined;
      }),
    [/model\.embed_tokens\.weight/, /shape/],
  ),
  badModel(
    "a negative size",
    (place) =>
      editHeader(place, (header) => {
        entryOf(header, embedding).shape = [-264, -16];
        return undefined;
      }),
    [/model\.embed_tokens\.weight/, /shape/],
  ),
  badModel(
    "a tensor named twice",
    (place) =>
      editHeader(place, (header) => {
        const one = JSON.stringify(entryOf(header, norm));
        return JSON.stringify(header).replace(/}$/, `,"${norm}":${one}}`);
      }),
    [/twice|duplicate/i, /model\.norm\.weight/],
  ),
  badModel(
    "an unknown element type",
    (place) =>
      editHeader(place, (header) => {
        entryOf(header, norm).dtype = "F31";
        return undefined;
      }),
    [/F31/],
  ),
  badModel(
    "integer weights",
    (place) =>
      editHeader(place, (header) => {
        entryOf(header, norm).dtype = "I32";
        return undefined;
      }),
    [/I32|int32/, /model\.norm\.weight/],
  ),
  badModel(
    "bytes behind the tensors",
    (place) => {
      writeFileSync(
        weightsOf(place),
        Buffer.concat([readFileSync(weightsOf(place)), Buffer.from("#!/bin/sh")]),
      );
    },
    [/9|behind|more|cover/],
  ),
  {
    ...badModel("a missing shard", (place) => rmSync(shard(place).second), [
      /model-00002-of-00002/,
      /Finish the download/,
    ]),
    error: FileError,
  },
  badModel(
    "a shard outside of the directory",
    (place) => {
      edit(shard(place).index, (text) => text.replaceAll("model-00002-of-00002", "../elsewhere"));
    },
    [/\.\.\/elsewhere/],
  ),
  badModel(
    "a shard that lacks a tensor",
    (place) => {
      const { index } = shard(place);
      edit(index, (text) =>
        text.replace(
          '"weight_map":{',
          '"weight_map":{"model.extra.weight":"model-00002-of-00002.safetensors",',
        ),
      );
    },
    [/model\.extra\.weight/],
  ),
  badModel(
    "a missing tensor",
    (place) => rewriteWeights(place, (all) => all.filter(({ name }) => name !== norm)),
    [/"model\.norm\.weight" is missing/],
  ),
  badModel(
    "a left-over tensor",
    (place) =>
      rewriteWeights(place, (all) => [
        ...all,
        { name: "model.extra.weight", dtype: "F32", shape: [1], bytes: () => Buffer.alloc(4) },
      ]),
    [/model\.extra\.weight/, /do not belong/],
  ),
  badModel(
    "pickle only",
    (place) => {
      rmSync(weightsOf(place));
      writeFileSync(join(place.model, "pytorch_model.bin"), pickle);
    },
    [/pytorch_model\.bin/, /never opened/, /safe_serialization=True/],
  ),
  badModel("a pickle renamed .safetensors", (place) => writeFileSync(weightsOf(place), pickle), [
    /pickle/,
    /never opened/,
    /safe_serialization=True/,
  ]),
  badModel(
    "a zip renamed .safetensors",
    (place) => writeFileSync(weightsOf(place), Buffer.concat([Buffer.from("PK\x03\x04"), Buffer.alloc(200)])),
    [/zip/, /never opened/],
  ),
  badModel(
    "GGUF only",
    (place) => {
      rmSync(weightsOf(place));
      writeFileSync(join(place.model, "model-q4.gguf"), "GGUF\x03\x00\x00\x00");
    },
    [/model-q4\.gguf/, /Hugging Face directory/],
  ),
  badModel(
    "a Git LFS pointer",
    (place) =>
      writeFileSync(weightsOf(place), "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
    [/git lfs pull/],
  ),
  badModel(
    "a single file of another name",
    (place) => renameSync(weightsOf(place), join(place.model, "weights.safetensors")),
    [/weights\.safetensors/, /Rename/],
  ),
];
