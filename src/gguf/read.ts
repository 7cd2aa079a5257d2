/**
 * Reads GGUF files (version 3, little-endian), trusting nothing in them: counts and lengths are checked against the file before
 * anything is made of them. Tensors are read one at a time.
 */
import { fstatSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { FormatError } from "../base/errors.ts";
import { readInto, withFile } from "../base/open-file.ts";
import { decode } from "./dequantise.ts";
import { blocks, bytesOf, type GgufType, numelOf, typeById } from "./types.ts";
import { type GgufValue, valueIds } from "./values.ts";
import { alignment } from "./write.ts";

/** A tensor of a file. */
export interface GgufTensor {
  name: string;
  type: GgufType;
  /** Sizes, outermost first. */
  shape: readonly number[];
  /** Its bytes in the file: from `begin` to before `end`. */
  begin: number;
  end: number;
}

/** A checked file. */
export interface GgufFile {
  path: string;
  keys: Map<string, GgufValue>;
  /** By name, in the order of the file. */
  tensors: Map<string, GgufTensor>;
}

/** Keys, tensors and dimensions of the largest published files stay far below these. */
const most = { keys: 10_000, tensors: 100_000, dimensions: 4, headerBytes: 2 ** 28 } as const;
/** Enough for vocabularies of 256,000 tokens. */
const usualHeaderBytes = 2 ** 24;

/**
 * The header of the file at `path`.
 *
 * @throws {FileError} when it cannot be read
 * @throws {FormatError} when it is no GGUF file of version 3, or damaged
 */
export function readGguf(path: string): GgufFile {
  return withFile(path, (fd) => {
    const fileBytes = fstatSync(fd).size;
    const mostBytes = Math.min(fileBytes, most.headerBytes);
    for (let bytes = Math.min(usualHeaderBytes, mostBytes); ; bytes = Math.min(2 * bytes, mostBytes)) {
      try {
        return new HeaderReader(path, readAt(fd, 0, bytes, path), fileBytes).read();
      } catch (error) {
        if (!(error instanceof ShortHeader) || bytes === mostBytes) throw error;
      }
    }
  });
}

/** The bytes read so far end before the header does. */
class ShortHeader extends FormatError {}

/** The numbers of a tensor, from `from` on, `count` of them, which are whole blocks. */
export function readNumbers(
  { path }: GgufFile,
  tensor: GgufTensor,
  { from, count }: { from: number; count: number } = { from: 0, count: numelOf(tensor.shape) },
): Float32Array {
  const { size, bytes } = blocks[tensor.type];
  const begin = tensor.begin + (from / size) * bytes;
  return withFile(path, (fd) => decode(tensor.type, readAt(fd, begin, (count / size) * bytes, path)));
}

/** What a file was to have. */
export interface WantedGguf {
  keys: ReadonlyMap<string, GgufValue>;
  tensors: readonly Pick<GgufTensor, "name" | "type" | "shape">[];
}

/**
 * Checks that a file has these keys and tensors as they were to be written.
 *
 * @throws {FormatError} naming the first that is not there or another
 */
export function requireSame(file: GgufFile, wanted: WantedGguf): void {
  requireParts(file, wanted);
  if (file.keys.size !== wanted.keys.size) refuseOther(file, "the number of keys");
  for (const { name, type } of wanted.tensors) {
    if (file.tensors.get(name)?.type !== type) refuseOther(file, `the type of tensor "${name}"`);
  }
}

/** Keys that quantising changes. */
const quantiserKeys: readonly string[] = ["general.file_type", "general.quantization_version"];

/** The same of a file whose tensors have got other types since. */
export function requireQuantised(file: GgufFile, wanted: WantedGguf): void {
  const keys = new Map([...wanted.keys].filter(([key]) => !quantiserKeys.includes(key)));
  requireParts(file, { ...wanted, keys });
}

function requireParts(file: GgufFile, wanted: WantedGguf): void {
  const { keys, tensors } = file;
  for (const [key, value] of wanted.keys) {
    if (!isDeepStrictEqual(keys.get(key), value)) refuseOther(file, `the key "${key}"`);
  }
  for (const { name, shape } of wanted.tensors) {
    if (String(tensors.get(name)?.shape) !== String(shape)) refuseOther(file, `tensor "${name}"`);
  }
  if (tensors.size !== wanted.tensors.length) refuseOther(file, "the number of tensors");
}

function refuseOther({ path }: GgufFile, what: string): never {
  throw new FormatError(
    `${path}: ${what} is not as it was written. Check the disk and write the file again.`,
  );
}

function readAt(fd: number, position: number, length: number, path: string): Uint8Array {
  const bytes = new Uint8Array(length);
  const done = readInto(fd, bytes, position);
  if (done < length) throw new FormatError(`${path}: the file ended after ${position + done} bytes.`);
  return bytes;
}

/** Reads a header from its first byte to its last. */
class HeaderReader {
  readonly #path: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fileBytes: number;
  #at = 0;

  constructor(path: string, bytes: Uint8Array, fileBytes: number) {
    this.#path = path;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#fileBytes = fileBytes;
  }

  read(): GgufFile {
    const magic = Buffer.from(this.#take(4)).toString("latin1");
    if (magic !== "GGUF") this.#refuse(`expected a GGUF file, it begins with ${JSON.stringify(magic)}`);
    const version = this.#word();
    if (version !== 3) this.#refuse(`expected version 3, got ${version}`);
    const tensorCount = this.#long("tensors", most.tensors);
    const keyCount = this.#long("keys", most.keys);
    const keys = new Map<string, GgufValue>();
    for (let i = 0; i < keyCount; i++) {
      const key = this.#text();
      if (keys.has(key)) this.#refuse(`the key "${key}" is there twice`);
      keys.set(key, this.#value(key, this.#word()));
    }
    const given = keys.get("general.alignment")?.value ?? alignment;
    if (given !== alignment)
      this.#refuse(`expected an alignment of ${alignment} bytes, got ${String(given)}`);
    return { path: this.#path, keys, tensors: this.#tensors(tensorCount) };
  }

  #tensors(count: number): Map<string, GgufTensor> {
    const infos = Array.from({ length: count }, () => this.#tensorInfo());
    const start = Math.ceil(this.#at / alignment) * alignment;
    const tensors = new Map<string, GgufTensor>();
    for (const { offset, ...info } of infos) {
      const begin = start + offset;
      const end = begin + bytesOf(info.type, info.shape);
      if (offset % alignment !== 0 || end > this.#fileBytes) {
        this.#refuse(
          `tensor "${info.name}" lies at ${begin} to ${end}, the file has ${this.#fileBytes} bytes`,
        );
      }
      if (tensors.has(info.name)) this.#refuse(`tensor "${info.name}" is there twice`);
      tensors.set(info.name, { ...info, begin, end });
    }
    return tensors;
  }

  #tensorInfo(): Omit<GgufTensor, "begin" | "end"> & { offset: number } {
    const name = this.#text();
    const dimensions = this.#word();
    if (dimensions > most.dimensions) this.#refuse(`tensor "${name}" has ${dimensions} dimensions`);
    const shape = Array.from({ length: dimensions }, () => this.#long(`tensor "${name}"`, 2 ** 40)).reverse();
    const id = this.#word();
    const type = typeById.get(id);
    if (type === undefined) {
      return this.#refuse(
        `tensor "${name}" is of type ${id}, expected one of ${[...typeById.values()].join(", ")}`,
      );
    }
    const numel = numelOf(shape);
    if (!Number.isSafeInteger(numel * 4) || (shape.at(-1) ?? 1) % blocks[type].size !== 0) {
      this.#refuse(`tensor "${name}" of ${type} has the shape [${shape.join(", ")}]`);
    }
    return { name, type, shape, offset: this.#long(`tensor "${name}"`, 2 ** 50) };
  }

  #value(key: string, id: number): GgufValue {
    switch (id) {
      case valueIds.uint32:
        return { type: "uint32", value: this.#word() };
      case valueIds.int32:
        return { type: "int32", value: this.#view.getInt32(this.#skip(4), true) };
      case valueIds.float32:
        return { type: "float32", value: this.#view.getFloat32(this.#skip(4), true) };
      case valueIds.float64:
        return { type: "float64", value: this.#view.getFloat64(this.#skip(8), true) };
      case valueIds.uint64:
        return { type: "uint64", value: this.#long(key, Number.MAX_SAFE_INTEGER) };
      case valueIds.bool:
        return { type: "bool", value: this.#view.getUint8(this.#skip(1)) !== 0 };
      case valueIds.string:
        return { type: "string", value: this.#text() };
      case valueIds.list:
        return this.#list(key, this.#word());
      default:
        return this.#refuse(`key "${key}" is of type ${id}, which is not read here`);
    }
  }

  #list(key: string, of: number): GgufValue {
    // every member takes a byte at least, and none is made before its bytes are there
    const count = this.#long(key, most.headerBytes);
    if (count > this.#bytes.byteLength - this.#at) this.#skip(count);
    const each = <T>(read: () => T): T[] => Array.from({ length: count }, read);
    switch (of) {
      case valueIds.string:
        return { type: "strings", value: each(() => this.#text()) };
      case valueIds.int32:
        return { type: "int32s", value: each(() => this.#view.getInt32(this.#skip(4), true)) };
      case valueIds.uint32:
        return { type: "uint32s", value: each(() => this.#word()) };
      case valueIds.float32:
        return { type: "float32s", value: each(() => this.#view.getFloat32(this.#skip(4), true)) };
      case valueIds.bool:
        return { type: "bools", value: each(() => this.#view.getUint8(this.#skip(1)) !== 0) };
      default:
        return this.#refuse(`key "${key}" is a list of type ${of}, which is not read here`);
    }
  }

  #skip(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.byteLength - at) {
      throw new ShortHeader(
        `${this.#path}: the header goes on after ${this.#bytes.byteLength} bytes. Write or download the file again.`,
      );
    }
    this.#at += length;
    return at;
  }

  #take(length: number): Uint8Array {
    const at = this.#skip(length);
    return this.#bytes.subarray(at, at + length);
  }

  #word(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  #long(what: string, limit: number): number {
    const value = this.#view.getBigUint64(this.#skip(8), true);
    if (value > BigInt(limit)) this.#refuse(`${what}: expected at most ${limit}, got ${value}`);
    return Number(value);
  }

  #text(): string {
    return Buffer.from(this.#take(this.#long("a text", most.headerBytes))).toString("utf8");
  }

  #refuse(problem: string): never {
    throw new FormatError(`${this.#path}: ${problem}. Write or download the file again.`);
  }
}
