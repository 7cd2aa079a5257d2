/** Bytes of a stream by number: what formats with headers need. */

/** A stream that ends where more should come. The message continues a sentence about the file. */
export class CutShortError extends Error {}

/** Reads a stream of chunks by numbers of bytes. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** All that is left, in pieces. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (let bytes = await this.next(); bytes !== null; bytes = await this.next()) yield bytes;
  }

  /** Lets go of the source. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  /** The next bytes, as many as there are at hand; null at the end. */
  async next(): Promise<Buffer | null> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done === true) return null;
      this.#rest = value;
    }
    const bytes = this.#rest;
    this.#rest = Buffer.alloc(0);
    return bytes;
  }

  /** Gives bytes back that `next` gave, to be read again. */
  unread(bytes: Buffer): void {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([bytes, this.#rest]);
  }

  /** The next `count` bytes, fewer only at the end. */
  async upTo(count: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for await (const part of this.#pieces(count)) parts.push(part);
    return Buffer.concat(parts);
  }

  /** The next `count` bytes. @throws CutShortError when there are fewer */
  async take(count: number): Promise<Buffer> {
    const bytes = await this.upTo(count);
    if (bytes.length < count) throw new CutShortError("it ends too early");
    return bytes;
  }

  /** The next `count` bytes in pieces. @throws CutShortError when there are fewer */
  async *pass(count: number): AsyncGenerator<Buffer> {
    let missing = count;
    for await (const part of this.#pieces(count)) {
      missing -= part.length;
      yield part;
    }
    if (missing > 0) throw new CutShortError("it ends too early");
  }

  async *#pieces(count: number): AsyncGenerator<Buffer> {
    for (let missing = count; missing > 0; ) {
      const bytes = await this.next();
      if (bytes === null) return;
      if (bytes.length > missing) this.unread(bytes.subarray(missing));
      const part = bytes.subarray(0, missing);
      missing -= part.length;
      yield part;
    }
  }
}
