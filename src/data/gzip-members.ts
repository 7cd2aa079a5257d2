/**
 * Gzip files of any number of members (RFC 1952), zeros behind the last one, as gzip(1) takes them. Node's gunzip drops
 * without a word what stands behind zeros, so members are taken one by one here.
 */
import { crc32, createInflateRaw, type InflateRaw } from "node:zlib";

import { ByteReader, CutShortError } from "./byte-reader.ts";

/** Longest name or comment in a header. */
const maxText = 64 * 1024;

/**
 * The content of all members.
 *
 * @throws CutShortError, or an Error whose message continues a sentence about the file, when it is not such a file to its end
 */
export async function* decompressGzip(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const reader = new ByteReader(source);
  let magic = await reader.upTo(2);
  if (magic.length === 0) throw new Error("it is empty");
  if (!beginsMember(magic)) throw new Error("it does not begin as one");
  while (beginsMember(magic)) {
    await skipHeader(reader);
    yield* member(reader);
    magic = await reader.upTo(2);
  }
  if (magic.some((byte) => byte !== 0)) throw new Error("other bytes stand behind its last member");
  await expectZeros(reader);
}

function beginsMember(magic: Buffer): boolean {
  return magic[0] === 0x1f && (magic.length < 2 || magic[1] === 0x8b);
}

async function expectZeros(reader: ByteReader): Promise<void> {
  for (let bytes = await reader.next(); bytes !== null; bytes = await reader.next()) {
    if (bytes.some((byte) => byte !== 0)) throw new Error("other bytes stand behind the zeros at its end");
  }
}

/** The header behind the magic number: method, flags, time, extra flags, system, and the fields that the flags announce. */
async function skipHeader(reader: ByteReader): Promise<void> {
  const fixed = await reader.take(8);
  const [method = 0, flags = 0] = fixed;
  if (method !== 8) throw new Error(`it is compressed by the unknown method ${method}`);
  if ((flags & 0x04) !== 0) await reader.take((await reader.take(2)).readUInt16LE());
  // A name, then a comment, each with a zero at its end.
  for (const flag of [0x08, 0x10]) if ((flags & flag) !== 0) await skipText(reader);
  if ((flags & 0x02) !== 0) await reader.take(2);
}

async function skipText(reader: ByteReader): Promise<void> {
  for (let length = 0; ; ) {
    const bytes = await reader.next();
    if (bytes === null) throw new CutShortError("it ends too early");
    const end = bytes.indexOf(0);
    length += end < 0 ? bytes.length : end;
    if (length > maxText) throw new Error("a field of its header is longer than 64 KiB");
    if (end < 0) continue;
    if (end + 1 < bytes.length) reader.unread(bytes.subarray(end + 1));
    return;
  }
}

async function* member(reader: ByteReader): AsyncGenerator<Buffer> {
  let sum = 0;
  let size = 0;
  for await (const piece of inflated(reader)) {
    sum = crc32(piece, sum);
    size += piece.length;
    yield piece;
  }
  const trailer = await reader.take(8);
  if (trailer.readUInt32LE(0) !== sum) throw new Error("its checksum is another than that of its content");
  if (trailer.readUInt32LE(4) !== size % 2 ** 32)
    throw new Error("its content has another length than it says");
}

/** The deflated content; the reader stands behind it afterwards. */
async function* inflated(reader: ByteReader): AsyncGenerator<Buffer> {
  const content = createInflateRaw();
  const feeder = new Feeder(content, reader);
  void feeder.feed();
  try {
    for await (const piece of content) yield piece as Buffer;
    feeder.giveBack();
  } finally {
    content.destroy();
  }
}

/** Writes a reader's bytes to a decompressor until that has read its end. */
class Feeder {
  readonly #content: InflateRaw;
  readonly #reader: ByteReader;
  /** The bytes written last, and how many had been taken before them. */
  #last: Buffer = Buffer.alloc(0);
  #before = 0;

  constructor(content: InflateRaw, reader: ByteReader) {
    this.#content = content;
    this.#reader = reader;
  }

  /** How many of the last bytes the decompressor took. */
  get #taken(): number {
    return this.#content.bytesWritten - this.#before;
  }

  async feed(): Promise<void> {
    try {
      while (this.#taken === this.#last.length && !this.#content.destroyed) {
        const bytes = await this.#reader.next();
        if (bytes === null) {
          this.#content.end();
          return;
        }
        this.#before = this.#content.bytesWritten;
        this.#last = bytes;
        // Bytes are left over where the content ends, at which this may or may not be called back.
        await new Promise<void>((done) => this.#content.write(bytes, () => done()));
      }
    } catch (error) {
      this.#content.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** What was written and not taken goes back to the reader. */
  giveBack(): void {
    const left = this.#last.subarray(this.#taken);
    if (left.length > 0) this.#reader.unread(left);
  }
}
