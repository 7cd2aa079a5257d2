/**
 * Thrift's compact protocol, as Parquet's footers and page headers are written in, read with limits: a list may claim any
 * length and structures may be nested at will.
 */

/** A value of a structure. Structures are maps by field number. */
export type ThriftValue = number | bigint | boolean | Uint8Array | ThriftValue[] | ThriftStruct;

/** Fields by number. */
export type ThriftStruct = Map<number, ThriftValue>;

/** What is no such structure. `message` continues a sentence about the file. */
class ThriftError extends Error {}

const maxDepth = 24;

/** A structure and where it ends. */
export interface ReadStruct {
  fields: ThriftStruct;
  end: number;
}

/**
 * The structure that begins at `at`.
 *
 * @param mostValues - values that it may have, all depths together
 * @throws ThriftError when it is none, is incomplete, or has more
 */
export function readStruct(bytes: Uint8Array, at: number, mostValues: number): ReadStruct {
  const reader = new ThriftReader(bytes, at, mostValues);
  const fields = reader.struct(0);
  return { fields, end: reader.at };
}

class ThriftReader {
  at: number;
  readonly #bytes: Uint8Array;
  #left: number;

  constructor(bytes: Uint8Array, at: number, mostValues: number) {
    this.#bytes = bytes;
    this.at = at;
    this.#left = mostValues;
  }

  struct(depth: number): ThriftStruct {
    if (depth > maxDepth) throw new ThriftError("its metadata is nested too deep");
    const fields: ThriftStruct = new Map();
    for (let id = 0; ; ) {
      const byte = this.#byte();
      if (byte === 0) return fields;
      const delta = byte >> 4;
      id = delta === 0 ? Number(this.#zigzag()) : id + delta;
      fields.set(id, this.#value(byte & 0x0f, depth + 1));
    }
  }

  #value(type: number, depth: number): ThriftValue {
    this.#left -= 1;
    if (this.#left < 0) throw new ThriftError("its metadata has too many values");
    switch (type) {
      case 1:
      case 2:
        return type === 1;
      case 3:
        return this.#byte();
      case 4:
      case 5:
        return Number(this.#zigzag());
      case 6:
        return this.#zigzag();
      case 7:
        return new DataView(this.#take(8).slice().buffer).getFloat64(0, true);
      case 8:
        return this.#take(this.#length());
      case 9:
        return this.#list(depth);
      case 12:
        return this.struct(depth);
      default:
        throw new ThriftError(`its metadata has a value of the unknown type ${type}`);
    }
  }

  #list(depth: number): ThriftValue[] {
    const byte = this.#byte();
    const length = byte >> 4 === 15 ? this.#length() : byte >> 4;
    const type = byte & 0x0f;
    const values: ThriftValue[] = [];
    for (let i = 0; i < length; i++) values.push(this.#value(type <= 2 ? 3 : type, depth));
    return values;
  }

  /** A length: never more than there are bytes left. */
  #length(): number {
    const length = Number(this.#varint());
    if (length > this.#bytes.length - this.at)
      throw new ThriftError("its metadata claims more than there is");
    return length;
  }

  #zigzag(): bigint {
    const value = this.#varint();
    return (value >> 1n) ^ -(value & 1n);
  }

  #varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new ThriftError("its metadata has a number without an end");
  }

  #byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw new ThriftError("its metadata ends too early");
    return byte;
  }

  #take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.at) throw new ThriftError("its metadata ends too early");
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }
}
