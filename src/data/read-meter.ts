/** How far the reading of data files has got, and the limits of what is read. */
import { channel } from "node:diagnostics_channel";

/** Longest row accepted, in bytes of text: a compressed file of a few KiB can hold one row of many GiB. */
export const maxRowBytes: number = 16 * 1024 * 1024;

/** Most columns of a row. */
export const maxColumns: number = 1000;

/** Told of every {@link ReadMeter} as it moves, wherever files are read; the command line shows it. */
export const reading: ReturnType<typeof channel> = channel("preftune:reading");

/** Bytes on the disk, of all files that are read together: those read so far, and how many there are. */
export class ReadMeter {
  bytesRead = 0;
  bytesTotal = 0;
  /** Rows given so far. */
  rows = 0;
  readonly #onRead: () => void;

  /** @param onRead - called after every piece of a file, also when no rows come of it */
  constructor(onRead: () => void = () => {}) {
    this.#onRead = onRead;
  }

  /** Files of so many bytes are going to be read. */
  expect(bytes: number): void {
    this.bytesTotal += bytes;
  }

  /** A piece was read. */
  add(bytes: number): void {
    this.bytesRead += bytes;
    this.#onRead();
    if (reading.hasSubscribers) reading.publish(this);
  }
}
