/** How far the reading of data files has got, and the limits of what is read. */
import { channel } from "node:diagnostics_channel";

import { formatBytes } from "../base/file-io.ts";

/** Longest row accepted, in bytes of text: a compressed file of a few KiB can hold one row of many GiB. */
export const maxRowBytes: number = 4 * 1024 * 1024;

/** Most columns of a row. */
export const maxColumns: number = 1000;

/** Given every {@link ReadMeter} that nobody else listens to, as it moves and when it is done; the command line shows it. */
const reading = channel("preftune:reading");

/** Calls `listen` with meters as they move; see {@link reading}. */
export function watchReading(listen: (meter: ReadMeter) => void): void {
  reading.subscribe((meter) => listen(meter as ReadMeter));
}

/** Bytes on the disk, of all files that are read together: those read so far, and how many there are. */
export class ReadMeter {
  bytesRead = 0;
  bytesTotal = 0;
  /** Rows given so far. */
  rows = 0;
  /** Files and folders that a glob has looked at, while it does. */
  looked = 0;
  isDone = false;
  readonly #onRead: () => void;

  /** @param onRead - called after every piece of a file, also when no rows come of it */
  constructor(onRead: () => void = () => reading.publish(this)) {
    this.#onRead = onRead;
  }

  /** `12.0 MiB of 300.0 MiB`, or what a glob has seen that is still looking for files. */
  get note(): string {
    if (this.looked > 0) return `${this.looked} files and folders looked at`;
    return `${formatBytes(this.bytesRead)} of ${formatBytes(this.bytesTotal)}`;
  }

  /** Files of so many bytes are going to be read. */
  expect(bytes: number): void {
    this.bytesTotal += bytes;
  }

  /** A piece was read. */
  add(bytes: number): void {
    this.bytesRead += bytes;
    this.#onRead();
  }

  /** A glob has come to one more file or folder. */
  look(): void {
    this.looked += 1;
    if (this.looked % 64 === 0) this.#onRead();
  }

  /** All has been read, or given up. */
  finish(): void {
    this.isDone = true;
    this.#onRead();
  }
}
