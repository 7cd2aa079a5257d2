/** JSON lines on their way into a file, with their digest: nothing is held in memory, and the file is put in place at the end or not at all. */
import { createHash } from "node:crypto";
import { dirname } from "node:path";
import {
  fileFailure,
  ignoreErrors,
  io,
  putInPlace,
  siblingName,
  uniqueTag,
  writeAllSync,
} from "../base/file-io.ts";
import { makeDirectory } from "../base/files.ts";

/** Characters that are written at once. */
const atOnce = 2 ** 20;

/** One file that is being written; without a path lines are counted and digested alone. */
export class LineSink {
  /** Where the lines are until they are put in place. */
  readonly temp: string | null;
  rows = 0;
  readonly #path: string | null;
  readonly #hash = createHash("sha256");
  #fd: number | null = null;
  #held: string[] = [];
  #characters = 0;

  /** @throws {FileError} when the file cannot be made */
  constructor(path: string | null) {
    this.#path = path;
    this.temp = path === null ? null : siblingName(path, "tmp", uniqueTag());
    if (path === null) return;
    makeDirectory(dirname(path));
    this.#fd = this.#guard(() => io.openSync(this.temp ?? "", "wx"));
  }

  /** @throws {FileError} when it cannot be written */
  write(value: unknown): void {
    const line = `${JSON.stringify(value)}\n`;
    this.rows++;
    this.#held.push(line);
    this.#characters += line.length;
    if (this.#characters >= atOnce) this.#flush();
  }

  /** No more lines come. @returns SHA-256 of what was written. @throws {FileError} as {@link write} */
  end(): string {
    this.#flush();
    const fd = this.#fd;
    this.#fd = null;
    if (fd !== null) this.#guard(() => io.closeSync(fd));
    return this.#hash.digest("hex");
  }

  /** Puts the file in place, after its {@link end}. @throws {FileError} when that fails */
  place(): void {
    const { temp } = this;
    const path = this.#path;
    if (temp !== null && path !== null) this.#guard(() => putInPlace(temp, path));
  }

  /** Leaves nothing of a file that was not put in place. */
  [Symbol.dispose](): void {
    const { temp } = this;
    const fd = this.#fd;
    if (fd !== null) ignoreErrors(() => io.closeSync(fd));
    if (temp !== null) ignoreErrors(() => io.rmSync(temp));
  }

  #flush(): void {
    const bytes = Buffer.from(this.#held.join(""), "utf8");
    this.#held = [];
    this.#characters = 0;
    this.#hash.update(bytes);
    const fd = this.#fd;
    if (fd !== null) this.#guard(() => writeAllSync(fd, bytes));
  }

  #guard<T>(action: () => T): T {
    try {
      return action();
    } catch (cause) {
      throw fileFailure({
        action: "write",
        path: this.#path ?? "",
        cause,
        kept: "What was there before is untouched.",
      });
    }
  }
}
