/** Copies of files, made through `io` like everything that is written. */
import { closeSync, fstatSync, readdirSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { createFileSync, fileWork, io, writeAllSync } from "./file-io.ts";
import { openFile } from "./open-file.ts";

const chunkBytes = 16 * 2 ** 20;

/**
 * Copies a file of any size to `target`, which must not exist.
 *
 * @throws {FileError} when `source` cannot be read or `target` not be written
 */
export function copyFile(source: string, target: string): void {
  const fd = reading(source, () => openFile(source));
  try {
    const { size } = fstatSync(fd);
    const chunk = new Uint8Array(Math.min(chunkBytes, Math.max(1, size)));
    const fill = (to: number): void => {
      for (;;) {
        const bytes = reading(source, () => readSync(fd, chunk));
        if (bytes === 0) return;
        writeAllSync(to, chunk.subarray(0, bytes));
      }
    };
    fileWork({ action: "write", path: target, bytes: size }, () => createFileSync(target, fill));
  } finally {
    closeSync(fd);
  }
}

function reading<T>(path: string, read: () => T): T {
  return fileWork({ action: "read", path }, read);
}

/**
 * Copies a file, or a directory with all that is in it, to `target`, which must not exist.
 *
 * @throws {FileError} as {@link copyFile}; the system's error when a directory cannot be made
 */
export function copyTree(source: string, target: string): void {
  if (!statSync(source).isDirectory()) {
    copyFile(source, target);
    return;
  }
  io.mkdirSync(target);
  for (const name of readdirSync(source)) copyTree(join(source, name), join(target, name));
}
