/** Hostile weights: safetensors files that lie, and files of other kinds under their name. */
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { readSafetensorsHeader } from "../../../src/formats/safetensors.ts";
import {
  type TensorSource,
  writeSafetensors as writeWeights,
} from "../../../src/formats/safetensors-write.ts";
import type { HostileCase } from "./hostile.ts";
import { configure, type Json, linkInstead, many, setJson, writePieces } from "./spoil.ts";

const weights = (dir: string): string => join(dir, "model", "model.safetensors");

/** A file whose header is `header`, with `dataBytes` of zeros behind it. */
function writeSafetensors(path: string, header: string, dataBytes: number, claimed?: bigint): void {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed ?? BigInt(Buffer.byteLength(header)));
  writeFileSync(path, Buffer.concat([length, Buffer.from(header), Buffer.alloc(dataBytes)]));
}

function lying(name: string, header: Json | string, dataBytes: number, expects: RegExp): HostileCase {
  const text = typeof header === "string" ? header : JSON.stringify(header);
  const write = (dir: string): void => writeSafetensors(weights(dir), text, dataBytes);
  return { name: `safetensors: ${name}`, write, expects };
}

/** A header of four bytes of data that claims another length. */
function misjudged(name: string, claimed: bigint): HostileCase {
  const text = JSON.stringify({ a: tensor(0, 4) });
  const write = (dir: string): void => writeSafetensors(weights(dir), text, 4, claimed);
  return { name: `safetensors: ${name}`, write, expects: /header/ };
}

const tensor = (begin: number, end: number, shape: number[] = [(end - begin) / 4]): Json => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});

/** Row 19 of docs/reliability.md. */
export const weightCases: HostileCase[] = [
  misjudged("a header longer than the file", 99_000_000n),
  misjudged("a header of 2^63 bytes", 2n ** 63n),
  lying("tensors that overlap", { a: tensor(0, 8), b: tensor(4, 12) }, 12, /model\.safetensors/),
  lying("a gap between tensors", { a: tensor(0, 8), b: tensor(12, 20) }, 20, /model\.safetensors/),
  lying(
    "a key twice",
    '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    4,
    /twice/,
  ),
  lying("a shape that overflows", { a: tensor(0, 4, [2 ** 32, 2 ** 32]) }, 4, /model\.safetensors/),
  lying("a polyglot, with a program behind the tensors", { a: tensor(0, 4) }, 4096, /model\.safetensors/),
  lying("a header nested 100,000 deep", `${'{"a":'.repeat(1e5)}1${"}".repeat(1e5)}`, 0, /nested at most/),
  {
    name: "safetensors: a million tensors",
    write: (dir) => {
      const path = weights(dir);
      writePieces(
        `${path}.header`,
        many(1e6, (i) => `"t${i}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`),
      );
      withLength(path);
    },
    expects: /at most 100000 tensors/,
  },
  {
    name: "safetensors: 20 GB of nothing",
    write: (dir) => truncateSync(weights(dir), 2e10),
    expects: /./,
  },
  {
    name: "safetensors: a pickle under its name",
    write: (dir) =>
      writeFileSync(weights(dir), Buffer.from([0x80, 2, 0x63, ...Buffer.from("os\nsystem\n.")])),
    expects: /pickle/,
  },
  {
    name: "safetensors: a zip under its name",
    write: (dir) => writeFileSync(weights(dir), Buffer.from(`PK\u0003\u0004${"x".repeat(100)}`)),
    expects: /zip file/,
  },
  {
    name: "safetensors: a gzip bomb under its name",
    write: (dir) => writeFileSync(weights(dir), gzipSync(Buffer.alloc(1e8))),
    expects: /not a safetensors file/,
  },
  {
    name: "safetensors: a link out of the directory",
    write: (dir) => {
      mkdirSync(join(dir, "elsewhere"));
      renameSync(weights(dir), join(dir, "elsewhere", "model.safetensors"));
      linkInstead(weights(dir), join(dir, "elsewhere", "model.safetensors"));
    },
    expects: /symbolic link/,
  },
  {
    name: "safetensors: a state of 4 bits that is 48 MiB of spaces",
    write: writeLongState,
    expects: /quant_state\.bitsandbytes__nf4": expected JSON of at most 4\.0 MiB, got 48\.0 MiB/,
  },
];

/** Makes a linear of the model one in 4 bits, with a state that is long and says nothing. */
function writeLongState(dir: string): void {
  const { path, tensors, dataStart } = readSafetensorsHeader(weights(dir));
  const all = readFileSync(path);
  const linear = "model.layers.0.self_attn.q_proj.weight";
  const sources = [...tensors.values()].map(({ name, dtype, shape, begin, end }): TensorSource => {
    const bytes = new Uint8Array(all.subarray(dataStart + begin, dataStart + end));
    if (name !== linear) return { name, dtype, shape, bytes: () => [bytes] };
    const codes = new Uint8Array(shape.reduce((a, b) => a * b, 1) / 2);
    return { name, dtype: "U8", shape: [codes.length, 1], bytes: () => [codes] };
  });
  const state = new Uint8Array(48 * 2 ** 20).fill(32);
  const name = `${linear}.quant_state.bitsandbytes__nf4`;
  sources.push({ name, dtype: "U8", shape: [state.length], bytes: () => [state] });
  unlinkSync(path);
  writeWeights(path, sources);
  const quantizationConfig = {
    quant_method: "bitsandbytes",
    load_in_4bit: true,
    bnb_4bit_quant_type: "nf4",
  };
  setJson(dir, "config.json", { quantization_config: quantizationConfig });
  configure(dir, "use_peft: true", "lora_r: 2");
}

/** Puts the length of a header before it. */
function withLength(path: string): void {
  const header = `${path}.header`;
  const { length } = readFileSync(header);
  const fd = openSync(path, "w");
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(length));
  writeSync(fd, head);
  writeSync(fd, readFileSync(header));
  closeSync(fd);
  unlinkSync(header);
}
