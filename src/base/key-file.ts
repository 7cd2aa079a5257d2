/** Files that hold a key: read, and looked at for who else could read them. */
import { statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { at } from "./at.ts";
import { ConfigError } from "./errors.ts";
import { fileFailure } from "./file-io.ts";
import { readFileBytes } from "./open-file.ts";
import { shellWord } from "./shell-word.ts";
import { warn } from "./warn.ts";

const mostBytes = 4096;

/**
 * The key in `path`, without white space around it.
 *
 * @param option - how the user named the file
 * @throws {ConfigError} if there is none in it, or more than a key
 * @throws {FileError} if the file cannot be read
 */
export function readKeyFile(path: string, option: string): string {
  const words = textOf(path).trim().split(/\s+/);
  if (words.length !== 1 || words[0] === "") {
    throw new ConfigError(
      `${option} ${path}: expected a file with one key and nothing else. Make one: head -c 24 /dev/urandom | base64 > ${path}`,
    );
  }
  warnOfReaders(path);
  return at(words, 0);
}

function textOf(path: string): string {
  try {
    return readFileBytes(path, mostBytes).toString("utf8");
  } catch (cause) {
    throw fileFailure({ action: "read", path, cause });
  }
}

/** Warns when other users of the machine can read `path`, a file with a key. */
export function warnOfReaders(path: string): void {
  if (process.platform === "win32" || (statSync(path).mode & 0o044) === 0) return;
  if (!isReachable(dirname(resolve(path)))) return;
  warn(`${path}: other users of this machine can read this key. Run: chmod 600 ${shellWord(path)}`);
}

/** Whether others than its owner can go through `folder` and every one above it. */
function isReachable(folder: string): boolean {
  if ((statSync(folder).mode & 0o011) === 0) return false;
  const above = dirname(folder);
  return above === folder || isReachable(above);
}
