/** Writes GGUF files (version 3, little-endian) tensor by tensor, so that memory holds a part of one at a time. */
import { dirname } from "node:path";
import { FormatError, PreftuneError } from "../base/errors.ts";
import { createFileSync, errorCode, fileFailure, writeAllSync } from "../base/file-io.ts";
import { requireFreeBytes } from "../base/files.ts";
import { blocks, bytesOf, type GgufType } from "./types.ts";
import { type GgufKeys, type GgufValue, valueIds } from "./values.ts";

/** A tensor to write. */
export interface GgufSource {
  name: string;
  type: GgufType;
  /** Sizes, outermost first, as torch has them; a file has them the other way round. */
  shape: readonly number[];
  /** Called once, when its turn comes; each piece is written before the next is asked for. */
  bytes: () => Iterable<Uint8Array>;
}

/** Tensors begin at multiples of this. */
export const alignment: number = 32;

/** `bytes` and what is missing to the next multiple of the alignment. */
function aligned(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

/**
 * Creates `path`, which must not exist, with these keys and tensors, synced to disk.
 *
 * @throws {FileError} when the disk is full or not writable; the partial file is removed
 * @throws {FormatError} when a name comes twice, or a tensor's bytes do not match its shape
 */
export function writeGguf(path: string, keys: GgufKeys, tensors: readonly GgufSource[]): void {
  const header = headerOf(path, keys, tensors);
  const sizes = tensors.map(({ type, shape }) => aligned(bytesOf(type, shape)));
  const fileBytes = sizes.reduce((sum, bytes) => sum + bytes, header.byteLength);
  requireFreeBytes(dirname(path), fileBytes, path);
  try {
    createFileSync(path, (fd) => {
      writeAllSync(fd, header);
      for (const tensor of tensors) writeTensor(fd, path, tensor);
    });
  } catch (cause) {
    if (errorCode(cause) === null || cause instanceof PreftuneError) throw cause;
    throw fileFailure({
      action: "write",
      path,
      cause,
      bytes: fileBytes,
      kept: "The partial file was removed.",
    });
  }
}

function writeTensor(fd: number, path: string, { name, type, shape, bytes }: GgufSource): void {
  const expected = bytesOf(type, shape);
  let written = 0;
  for (const piece of bytes()) {
    written += piece.byteLength;
    if (written <= expected) writeAllSync(fd, piece);
  }
  if (written !== expected) {
    throw new FormatError(
      `Cannot write ${path}: tensor "${name}" of ${type} [${shape.join(", ")}] takes ${expected} bytes, its source gave ${written}.`,
    );
  }
  const rest = aligned(expected) - expected;
  if (rest > 0) writeAllSync(fd, new Uint8Array(rest));
}

function headerOf(path: string, keys: GgufKeys, tensors: readonly GgufSource[]): Uint8Array {
  const parts = [Buffer.from("GGUF", "latin1"), word(3), long(tensors.length), long(keys.size)];
  for (const [key, value] of keys) parts.push(text(key), Buffer.concat(valueBytes(value)));
  const names = new Set<string>();
  let offset = 0;
  for (const { name, type, shape } of tensors) {
    if (names.has(name)) throw new FormatError(`Cannot write ${path}: the tensor name "${name}" is taken.`);
    names.add(name);
    const sizes = [...shape].reverse().map(long);
    parts.push(text(name), word(shape.length), ...sizes, word(blocks[type].id), long(offset));
    offset += aligned(bytesOf(type, shape));
  }
  const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  return Buffer.concat([...parts, Buffer.alloc(aligned(bytes) - bytes)]);
}

function word(value: number): Buffer {
  return Buffer.from(Uint32Array.of(value).buffer);
}

function long(value: number): Buffer {
  return Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([long(bytes.byteLength), bytes]);
}

/** A value with the number of its type in front; of a list that of its members too, and how many they are. */
function valueBytes(given: GgufValue): Buffer[] {
  switch (given.type) {
    case "strings":
      return [...listHead(valueIds.string, given.value), ...given.value.map(text)];
    case "bools":
      return [...listHead(valueIds.bool, given.value), Buffer.from(given.value.map(Number))];
    case "int32s":
      return [...listHead(valueIds.int32, given.value), Buffer.from(Int32Array.from(given.value).buffer)];
    case "uint32s":
      return [...listHead(valueIds.uint32, given.value), Buffer.from(Uint32Array.from(given.value).buffer)];
    case "float32s":
      return [...listHead(valueIds.float32, given.value), Buffer.from(Float32Array.from(given.value).buffer)];
    default:
      return [word(valueIds[given.type]), singleBytes(given)];
  }
}

function listHead(of: number, list: readonly unknown[]): Buffer[] {
  return [word(valueIds.list), word(of), long(list.length)];
}

function singleBytes(given: Exclude<GgufValue, { type: `${string}s` }>): Buffer {
  switch (given.type) {
    case "string":
      return text(given.value);
    case "bool":
      return Buffer.from([Number(given.value)]);
    case "uint64":
      return long(given.value);
    case "uint32":
      return word(given.value);
    case "int32":
      return Buffer.from(Int32Array.of(given.value).buffer);
    case "float32":
      return Buffer.from(Float32Array.of(given.value).buffer);
    case "float64":
      return Buffer.from(Float64Array.of(given.value).buffer);
  }
}
