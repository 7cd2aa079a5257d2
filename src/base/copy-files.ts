/** Copies of small files, made through `io` like everything that is written. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { createFileSync, fileFailure, io, writeAllSync } from "./file-io.ts";
import { mostAtOnce, readFileBytes } from "./open-file.ts";

/**
 * Copies a small file to `target`, which must not exist.
 *
 * @throws {FileError} when `source` cannot be read; the system's error when `target` cannot be written
 */
export function copyFile(source: string, target: string): void {
  let bytes: Uint8Array;
  try {
    bytes = readFileBytes(source, mostAtOnce);
  } catch (cause) {
    throw fileFailure({ action: "read", path: source, cause });
  }
  createFileSync(target, (fd) => writeAllSync(fd, bytes));
}

/** Copies a file, or a directory with all that is in it, to `target`, which must not exist. Throws as {@link copyFile}. */
export function copyTree(source: string, target: string): void {
  if (!statSync(source).isDirectory()) {
    copyFile(source, target);
    return;
  }
  io.mkdirSync(target);
  for (const name of readdirSync(source)) copyTree(join(source, name), join(target, name));
}
