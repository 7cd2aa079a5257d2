/** A place in a growing file. A resumed run cuts its files and continues them: the bytes before the place tell whether that happened. */

/** Bytes before the cursor that are looked at again. */
export const rememberedBytes = 256;

/** A place in a file, from which another process continues. */
export interface CursorPlace {
  offset: number;
  /** The bytes before it, base64. */
  before: string;
}

/** At the beginning, unless a place is given. */
export class FileCursor {
  #offset: number;
  #before: Buffer;

  constructor(place: CursorPlace = { offset: 0, before: "" }) {
    this.#offset = place.offset;
    this.#before = Buffer.from(place.before, "base64");
  }

  get offset(): number {
    return this.#offset;
  }

  get place(): CursorPlace {
    return { offset: this.#offset, before: this.#before.toString("base64") };
  }

  /**
   * Whether a file of `size` bytes has before the cursor what it had.
   *
   * @param read - the file's bytes from the first place to the second, or those that there are
   */
  isIn(size: number, read: (from: number, to: number) => Buffer): boolean {
    if (size < this.#offset) return false;
    return this.#offset === 0 || read(this.#offset - this.#before.length, this.#offset).equals(this.#before);
  }

  /** Moves on to `offset`, with bytes that end there: the last of them are remembered. */
  moveTo(offset: number, bytes: Uint8Array): void {
    this.#offset = offset;
    this.#before = Buffer.from(bytes.subarray(-rememberedBytes));
  }
}
