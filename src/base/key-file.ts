/** Files that hold a key: read, and looked at for who else could read them. */
import { closeSync, fstatSync, openSync, readSync, type Stats, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { ConfigError } from "./errors.ts";
import { fileFailure } from "./file-io.ts";
import { warn } from "./warn.ts";

const mostBytes = 4096;

/**
 * The key in `path`, without white space around it. A pipe will do: `<(pass show key)`.
 *
 * @param option - how the user named the file
 * @throws {ConfigError} if there is none in it, or more than a key
 * @throws {FileError} if the file cannot be read
 */
export function readKeyFile(path: string, option: string): string {
  const [text, stats] = beginningOf(path);
  const words = text.trim().split(/\s+/);
  if (text.length > mostBytes || words.length !== 1 || words[0] === "") {
    throw new ConfigError(
      `${option} ${path}: expected a file with one key and nothing else. Make one: head -c 24 /dev/urandom | base64 > ${path}`,
    );
  }
  warnOfReaders(path, stats);
  return words[0] as string;
}

/** At most one character more than a key file may have, so that a file without an end is no trouble. */
function beginningOf(path: string): [text: string, stats: Stats] {
  let fd: number | null = null;
  try {
    fd = openSync(path, "r");
    const bytes = new Uint8Array(mostBytes + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = readSync(fd, bytes, length, bytes.length - length, null);
    }
    return [new TextDecoder().decode(bytes.subarray(0, length)), fstatSync(fd)];
  } catch (cause) {
    throw fileFailure({ action: "read", path, cause });
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

/** Warns when other users of the machine can read `path`, a file with a key. */
export function warnOfReaders(path: string, stats: Stats = statSync(path)): void {
  if (process.platform === "win32" || !stats.isFile() || (stats.mode & 0o044) === 0) return;
  if (!isReachable(dirname(resolve(path)))) return;
  warn(`${path}: other users of this machine can read this key. Run: chmod 600 ${path}`);
}

/** Whether others than its owner can go through `folder` and every one above it. */
function isReachable(folder: string): boolean {
  if ((statSync(folder).mode & 0o011) === 0) return false;
  const above = dirname(folder);
  return above === folder || isReachable(above);
}
