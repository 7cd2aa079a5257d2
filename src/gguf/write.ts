/** Writes GGUF files (version 3, little-endian) tensor by tensor, so that memory holds a part of one at a time. */
import { dirname } from "node:path";
import { FormatError, PreftuneError } from "../base/errors.ts";
import { createFileSync, errorCode, fileFailure, writeAllSync } from "../base/file-io.ts";
import { requireFreeBytes } from "../base/files.ts";
import { bytesOf, blocks, type GgufType } from "./types.ts";
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
export function aligned(bytes: number): number {
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
    throw fileFailure({ action: "write", path, cause, bytes: fileBytes, kept: "The partial file was removed." });
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
  const out = new Parts();
  out.raw(Buffer.from("GGUF", "latin1"));
  out.word(3);
  out.long(tensors.length);
  out.long(keys.size);
  for (const [key, value] of keys) {
    out.text(key);
    out.value(value);
  }
  const names = new Set<string>();
  let offset = 0;
  for (const { name, type, shape } of tensors) {
    if (names.has(name)) throw new FormatError(`Cannot write ${path}: the tensor name "${name}" is taken.`);
    names.add(name);
    out.text(name);
    out.word(shape.length);
    for (const size of [...shape].reverse()) out.long(size);
    out.word(blocks[type].id);
    out.long(offset);
    offset += aligned(bytesOf(type, shape));
  }
  return out.padded();
}

/** Bytes put one behind the other. */
class Parts {
  readonly #parts: Buffer[] = [];
  #bytes = 0;

  raw(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#bytes += bytes.byteLength;
  }

  word(value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    this.raw(bytes);
  }

  long(value: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(value));
    this.raw(bytes);
  }

  text(value: string): void {
    const bytes = Buffer.from(value, "utf8");
    this.long(bytes.byteLength);
    this.raw(bytes);
  }

  list(of: number, count: number): void {
    this.word(valueIds.list);
    this.word(of);
    this.long(count);
  }

  value(given: GgufValue): void {
    switch (given.type) {
      case "strings":
        this.list(valueIds.string, given.value.length);
        for (const text of given.value) this.text(text);
        return;
      case "bools":
        this.list(valueIds.bool, given.value.length);
        return this.raw(Buffer.from(given.value.map(Number)));
      case "int32s":
        this.list(valueIds.int32, given.value.length);
        return this.raw(Buffer.from(Int32Array.from(given.value).buffer));
      case "uint32s":
        this.list(valueIds.uint32, given.value.length);
        return this.raw(Buffer.from(Uint32Array.from(given.value).buffer));
      case "float32s":
        this.list(valueIds.float32, given.value.length);
        return this.raw(Buffer.from(Float32Array.from(given.value).buffer));
      default:
        this.word(valueIds[given.type]);
        this.single(given);
    }
  }

  single(given: Exclude<GgufValue, { type: `${string}s` }>): void {
    switch (given.type) {
      case "string":
        return this.text(given.value);
      case "bool":
        return this.raw(Buffer.from([Number(given.value)]));
      case "uint64":
        return this.long(given.value);
      case "uint32":
        return this.word(given.value);
      case "int32":
        return this.raw(Buffer.from(Int32Array.of(given.value).buffer));
      case "float32":
        return this.raw(Buffer.from(Float32Array.of(given.value).buffer));
      case "float64":
        return this.raw(Buffer.from(Float64Array.of(given.value).buffer));
    }
  }

  padded(): Uint8Array {
    return Buffer.concat([...this.#parts, Buffer.alloc(aligned(this.#bytes) - this.#bytes)]);
  }
}
