/** Millions of safetensors files that are nearly right, each of them read or refused by the project's own error. */
import assert from "node:assert/strict";
import { FormatError } from "../../src/base/errors.ts";
import { checkSafetensors, type SafetensorsFile } from "../../src/formats/safetensors.ts";
import { dtypeBytes } from "../../src/formats/safetensors-layout.ts";
import { FastRandom, jsonMarks, Mutant } from "./byte-mutations.ts";
import { amount, campaignSeed, figure, isNightly, progress } from "./campaign.ts";
import { residentMiB } from "./memory.ts";

const encoder = new TextEncoder();
const bytesOf = (text: string): Uint8Array => encoder.encode(text);

const tensorOf = (dtype: string, shape: string, begin: number, end: number): string =>
  `{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${begin},${end}]}`;

/** Headers of sound files, with the bytes of data that go with them. */
const sound: readonly (readonly [text: string, dataBytes: number])[] = [
  ["{}", 0],
  ['{"__metadata__":{"format":"pt"}}', 0],
  [`{"w":${tensorOf("F32", "2,3", 0, 24)}}`, 24],
  [`{"scalar":${tensorOf("BF16", "", 0, 2)},"empty":${tensorOf("F16", "0,7", 2, 2)}}`, 2],
  [
    `{"__metadata__":{"a":"b","step":"7"},"model.layers.0.q":${tensorOf("BF16", "4,4", 0, 32)},` +
      `"model.layers.0.k":${tensorOf("I64", "3", 32, 56)},"lm_head":${tensorOf("U8", "5", 56, 61)}}  `,
    61,
  ],
  [`{"\\u0077\\"\\\\":${tensorOf("F8_E4M3", "1,1,1,1", 0, 1)},"ß😀":${tensorOf("BOOL", "9", 1, 10)}}`, 10],
  [`{"b":${tensorOf("F64", "1", 8, 16)},"a":${tensorOf("I32", "2", 0, 8)}}`, 16],
];

const headers = sound.map(([text]) => bytesOf(text));

const words = [
  ...Object.keys(dtypeBytes),
  ...["dtype", "shape", "data_offsets", "__metadata__", "__proto__", "constructor", '"w":', '"":{}', "null"],
  ...jsonMarks,
  ...["[[", "{}", "[]", "//", "\n", " ", "\u0000"],
  ...["-1", "-0", "0", "1e999", "1.5", "1e3", "4294967296", "9007199254740991", "9007199254740993"],
  ...["18446744073709551615", "9223372036854775808", "NaN", "Infinity", "true", "0x10", "007"],
].map(bytesOf);
words.push(Uint8Array.of(0xef, 0xbb, 0xbf), Uint8Array.of(0xc0, 0x80), Uint8Array.of(0xed, 0xa0, 0x80));

/** What one input after the other became. */
interface Tally {
  inputs: number;
  read: number;
  slowestMs: number;
}

/** Whether the tensors of a file that was taken lie in its data, end to end, as large as their shapes. */
function assertSound(file: SafetensorsFile): void {
  let position = 0;
  for (const { dtype, shape, begin, end } of file.tensors.values()) {
    assert.equal(begin, position);
    const count = shape.reduce((product, size) => product * BigInt(size), 1n);
    assert.equal(BigInt(end - begin), count * BigInt(dtypeBytes[dtype]));
    position = end;
  }
  assert.equal(file.dataStart + position, file.fileBytes);
}

/** Makes an input in `mutant`: eight bytes of length and the header. Gives the bytes that the file is said to have. */
function makeInput(random: FastRandom, mutant: Mutant): number {
  const at = random.below(sound.length);
  mutant.begin(headers[at] as Uint8Array);
  for (let changes = random.below(5); changes > 0; changes--) mutant.change(random, words, headers);
  const header = mutant.length;
  mutant.room.copyWithin(8, 0, header);
  mutant.length += 8;
  const view = new DataView(mutant.room.buffer);
  view.setBigUint64(0, lengthField(random, header), true);
  const data = (sound[at] as (typeof sound)[number])[1];
  const kind = random.below(16);
  if (kind === 0) return Math.max(0, mutant.length + random.below(40) - 20);
  if (kind === 1) return random.below(mutant.length + 1);
  if (kind === 2) return 2 ** (20 + random.below(34)) - random.below(3);
  return mutant.length + data;
}

function lengthField(random: FastRandom, header: number): bigint {
  switch (random.below(24)) {
    case 0:
      return BigInt(header + random.below(9) - 4 + (header < 4 ? 4 : 0));
    case 1:
      return BigInt.asUintN(64, -BigInt(random.below(300)));
    case 2:
      return 1n << BigInt(27 + random.below(37));
    case 3:
      return BigInt(random.below(2) === 0 ? random.below(2000) : 100_000_001 + random.below(3));
    default:
      return BigInt(header);
  }
}

/** Reads one input; anything but a valid file or the project's own error fails the test. */
function readInput(mutant: Mutant, fileBytes: number): boolean {
  try {
    const file = checkSafetensors("f", fileBytes, (position, length) => {
      // as a file would: what it is said to have and has not is read as zeros
      if (position + length <= mutant.length) return mutant.room.slice(position, position + length);
      const bytes = new Uint8Array(length);
      bytes.set(mutant.bytes.subarray(position));
      return bytes;
    });
    assertSound(file);
    return true;
  } catch (error) {
    if (error instanceof FormatError && !(error instanceof assert.AssertionError)) return false;
    throw new Error(`safetensors input ${Buffer.from(mutant.bytes).toString("base64")}, ${fileBytes} bytes`, {
      cause: error,
    });
  }
}

/** What an input takes, without what other programs took of the time: the least of three. */
function leastMs(mutant: Mutant, fileBytes: number, firstMs: number): number {
  let least = firstMs;
  for (let again = 0; again < 2; again++) {
    const began = performance.now();
    readInput(mutant, fileBytes);
    least = Math.min(least, performance.now() - began);
  }
  return least;
}

function fuzz(inputs: number, seed: number): Tally {
  const random = new FastRandom(seed);
  const mutant = new Mutant(1 << 16);
  const tally: Tally = { inputs: 0, read: 0, slowestMs: 0 };
  const tell = progress();
  const batch = 2000;
  for (let from = 0; from < inputs; from += batch) {
    for (let i = 0; i < Math.min(batch, inputs - from); i++) {
      const fileBytes = makeInput(random, mutant);
      const began = performance.now();
      if (readInput(mutant, fileBytes)) tally.read++;
      tally.inputs++;
      const ms = performance.now() - began;
      if (ms > tally.slowestMs) tally.slowestMs = Math.max(tally.slowestMs, leastMs(mutant, fileBytes, ms));
    }
    if (!isNightly) continue;
    tell(() => `${tally.inputs.toLocaleString("en")} inputs, ${tally.read.toLocaleString("en")} read`);
  }
  return tally;
}

/**
 * One part of the campaign of 40 million inputs.
 *
 * @param part - decides the inputs, with PREFTUNE_SEED
 */
export function fuzzSafetensors(part: number): void {
  const { stackTraceLimit } = Error;
  // what an error costs is mostly its stack
  Error.stackTraceLimit = 0;
  try {
    const warm = fuzz(amount(2000, 200_000), 1000 * campaignSeed);
    assert.ok(warm.read > 0 && warm.read < warm.inputs);
    const before = residentMiB();
    const seed = 1000 * campaignSeed + part;
    const { inputs, read, slowestMs } = fuzz(amount(6000, 10_000_000), seed);
    const grownMiB = Math.max(0, residentMiB() - before);
    const counted = `${inputs.toLocaleString("en")} inputs, ${(inputs - read).toLocaleString("en")} refused`;
    figure(
      18,
      `Fuzz of safetensors headers, part ${part} of 4`,
      `${counted}, 0 other errors, slowest ${slowestMs.toFixed(0)} ms, memory held grew ${grownMiB.toFixed(0)} MiB`,
      "10,000,000 inputs, 0 crashes, 0 above 1 s, below 256 MiB",
      read > 0 && (!isNightly || (slowestMs < 1000 && grownMiB < 256)),
      "GGUF is not among them (first goal: 10,000,000 mutated files), since only files that export gguf or llama-quantize has just written are read",
    );
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
