/** Linears in fewer bits from a model directory: quantised while they are read, or as bitsandbytes saved them. */
import { FormatError, messageOf } from "../base/errors.ts";
import { formatBytes } from "../base/file-io.ts";
import { isRecord } from "../base/is-record.ts";
import { requireJsonLimits, settingsLimits } from "../base/json-limits.ts";
import { isQuantised } from "../formats/held-quantisation.ts";
import { nestedBlock, type Quantisation, type QuantType, quantTypes } from "../formats/quantisation.ts";
import type { TensorDtype } from "../formats/safetensors.ts";
import type { WeightLocation } from "../formats/weight-index.ts";
import type { Projection } from "../nn/module.ts";
import {
  EightBitLinear,
  FourBitLinear,
  type FourBitTensors,
  fourBitMap,
  quantiseEightBits,
  quantiseFourBits,
  type ReadNumbers,
} from "../nn/quantised-linear.ts";
import { onDevice, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import { requireFinite } from "./finite.ts";
import { copyStoredRange } from "./mapped-file.ts";

/** Where linears are read from. */
export interface QuantisedFiles {
  /** Where the tensor of this name is stored; it counts as used. Null where there is none. */
  locate: (name: string) => WeightLocation | null;
  device: string;
  /** What is to be quantised while it is read; null: nothing. */
  quantise: Quantisation | null;
}

/** A linear of a block: its path and its weight's shape. */
export interface WantedLinear {
  path: string;
  shape: readonly [out: number, input: number];
  bias: Tensor | null;
}

/**
 * The linear as it is held; null where its weight is stored as floats and stays so.
 *
 * @throws {FormatError} for tensors of bitsandbytes that are missing, or do not fit each other
 */
export function quantisedLinear(files: QuantisedFiles, wanted: WantedLinear): Projection | null {
  const { path, shape } = wanted;
  const weight = files.locate(`${path}.weight`);
  if (weight === null) return null;
  if (weight.entry.dtype === "U8") return savedFourBits(files, wanted, weight);
  if (weight.entry.dtype === "I8") return savedEightBits(files, wanted, weight);
  const { quantise, device } = files;
  if (quantise === null || !isQuantised(quantise, path)) return null;
  requireShape(weight, shape);
  const read = reader(weight, device);
  if (quantise.bits === 4) {
    return new FourBitLinear(shape, wanted.bias, quantiseFourBits(shape, quantise, device, read));
  }
  const { codes, scale } = quantiseEightBits(shape, device, read);
  return new EightBitLinear(shape, wanted.bias, codes, scale);
}

function reader(weight: WeightLocation, device: string): ReadNumbers {
  return (from, to) => {
    const numbers = ops.empty([to - from], { dtype: "float32", device });
    copyStoredRange(weight.file, weight.entry, { from, to }, numbers);
    requireFinite(numbers, placeOf(weight));
    return numbers;
  };
}

function placeOf({ file, entry }: WeightLocation): string {
  return `${file.path}: tensor "${entry.name}"`;
}

const again = "Save the quantised model again, or download it again.";

/** All of a stored tensor, of the type and shape that it must have. */
function readStored(
  files: QuantisedFiles,
  name: string,
  of: WeightLocation,
  { dtype, numel }: { dtype: TensorDtype; numel: number },
): Tensor {
  const found = files.locate(name);
  if (found === null) {
    throw new FormatError(
      `${placeOf(of)} is quantised, and "${name}" beside it is missing: expected bitsandbytes' tensors of it. ${again}`,
    );
  }
  const { entry } = found;
  const count = entry.shape.reduce((a, b) => a * b, 1);
  if (entry.dtype !== dtype || count !== numel) {
    throw new FormatError(
      `${placeOf(found)}: expected ${numel} numbers of ${dtype}, got [${entry.shape}] of ${entry.dtype}. ${again}`,
    );
  }
  using reading = scope();
  const type = ({ U8: "uint8", I8: "int8", F32: "float32" } as const)[dtype as "U8"];
  const target = ops.empty([numel], { dtype: type, device: files.device });
  copyStoredRange(found.file, entry, { from: 0, to: numel }, target);
  if (dtype === "F32") requireFinite(target, placeOf(found));
  return reading.keep(target);
}

function requireShape(found: WeightLocation, shape: readonly number[]): void {
  if (String(found.entry.shape) === String(shape)) return;
  throw new FormatError(
    `${placeOf(found)} has shape [${found.entry.shape}], config.json asks for [${shape}]. ` +
      "Weights and config are of different models, or a config value was changed.",
  );
}

function savedEightBits(files: QuantisedFiles, wanted: WantedLinear, weight: WeightLocation): EightBitLinear {
  const { path, shape, bias } = wanted;
  requireShape(weight, shape);
  const [out, input] = shape;
  const read = (name: string, dtype: TensorDtype, numel: number) =>
    readStored(files, `${path}.${name}`, weight, { dtype, numel });
  // what versions without the tensor saved is in rows too
  if (files.locate(`${path}.weight_format`) !== null) {
    using _ = scope();
    const format = read("weight_format", "U8", 1).item();
    if (format !== 0) {
      throw new FormatError(`${placeOf(weight)}: weight_format: expected 0, rows, got ${format}. ${again}`);
    }
  }
  const codes = read("weight", "I8", out * input);
  return new EightBitLinear(shape, bias, codes, read("SCB", "F32", out));
}

/** What bitsandbytes says of a tensor in 4 bits beside its tensors. */
interface QuantState {
  quantType: QuantType;
  block: number;
  /** Null without 8-bit largest values. */
  offset: number | null;
}

function savedFourBits(files: QuantisedFiles, wanted: WantedLinear, weight: WeightLocation): FourBitLinear {
  const { path, shape, bias } = wanted;
  using reading = scope();
  const name = `${path}.weight`;
  const state = quantState(files, name, weight, shape);
  const numel = shape[0] * shape[1];
  const blocks = Math.ceil(numel / state.block);
  const read = (part: string, dtype: TensorDtype, count: number) =>
    readStored(files, `${name}${part}`, weight, { dtype, numel: count });
  const codes = read("", "U8", Math.ceil(numel / 2));
  const map = read(".quant_map", "F32", 16);
  requireMap(map, state.quantType, `${placeOf(weight)}: quant_map`);
  const { offset } = state;
  const absmax = read(".absmax", offset === null ? "F32" : "U8", blocks);
  const nested =
    offset === null
      ? null
      : {
          isModuleGroup: true as const,
          absmax: read(".nested_absmax", "F32", Math.ceil(blocks / nestedBlock)),
          map: read(".nested_quant_map", "F32", 256),
          offset: ops.reshape(onDevice(tensor([offset]), files.device, "float32"), []),
        };
  const tensors: FourBitTensors = { codes, absmax, map, nested };
  for (const one of [
    codes,
    absmax,
    map,
    ...(nested === null ? [] : [nested.absmax, nested.map, nested.offset]),
  ])
    reading.keep(one);
  return new FourBitLinear(shape, bias, tensors, state.block);
}

/** bitsandbytes takes the table of the type, whatever is saved. */
function requireMap(map: Tensor, type: QuantType, place: string): void {
  using _ = scope();
  const [got, want] = [map.toNumbers(), fourBitMap(type).toNumbers()];
  if (got.every((value, i) => Math.abs(value - (want[i] ?? 0)) < 1e-6)) return;
  throw new FormatError(`${place}: expected the table of ${type}, got other numbers. ${again}`);
}

const blockSizes = [32, 64, 128, 256, 512, 1024, 2048, 4096];

/** @throws {FormatError} for a state that is missing, no JSON, or of another tensor */
function quantState(
  files: QuantisedFiles,
  name: string,
  weight: WeightLocation,
  shape: readonly number[],
): QuantState {
  const keys = quantTypes.map((type) => ({ type, key: `${name}.quant_state.bitsandbytes__${type}` }));
  const found = keys.flatMap(({ type, key }) => {
    const location = files.locate(key);
    return location === null ? [] : [{ type, key, location }];
  });
  const [only] = found;
  if (only === undefined || found.length > 1) {
    throw new FormatError(
      `${placeOf(weight)} is in 4 bits: expected one of ${keys.map(({ key }) => `"${key}"`).join(" and ")} beside it, ` +
        `got ${found.length}. ${again}`,
    );
  }
  const place = placeOf(only.location);
  const numel = only.location.entry.end - only.location.entry.begin;
  if (numel > settingsLimits.bytes)
    throw new FormatError(
      `${place}: expected JSON of at most ${formatBytes(settingsLimits.bytes)}, got ${formatBytes(numel)}. ${again}`,
    );
  using _ = scope();
  const bytes = Buffer.alloc(numel);
  readStored({ ...files, device: "cpu" }, only.key, weight, { dtype: "U8", numel }).readBytes(bytes, 0);
  const values = stateFields(bytes, place);
  const refuse = (key: string, expected: string): never => {
    throw new FormatError(
      `${place}: ${key}: expected ${expected}, got ${JSON.stringify(values[key]) ?? "nothing"}. ${again}`,
    );
  };
  const { quant_type, blocksize, shape: stated, nested_offset: offset, nested_blocksize } = values;
  if (quant_type !== only.type) return refuse("quant_type", `"${only.type}"`);
  if (String(stated) !== String(shape)) return refuse("shape", `[${shape}], as config.json asks for`);
  if (!blockSizes.includes(blocksize as number))
    return refuse("blocksize", `one of ${blockSizes.join(", ")}`);
  const state = { quantType: only.type, block: blocksize as number };
  if (offset === undefined && nested_blocksize === undefined) return { ...state, offset: null };
  if (typeof offset !== "number" || !Number.isFinite(offset))
    return refuse("nested_offset", "a finite number");
  if (nested_blocksize !== nestedBlock) return refuse("nested_blocksize", `${nestedBlock}`);
  return { ...state, offset };
}

function stateFields(bytes: Buffer, place: string): Record<string, unknown> {
  try {
    requireJsonLimits(bytes, place, settingsLimits);
    const value: unknown = JSON.parse(bytes.toString("utf8"));
    if (isRecord(value)) return value;
  } catch (cause) {
    throw new FormatError(`${place}: expected JSON: ${messageOf(cause)}. ${again}`, { cause });
  }
  throw new FormatError(`${place}: expected a JSON object. ${again}`);
}
