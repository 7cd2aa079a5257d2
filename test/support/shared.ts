/**
 * Finds material that tests use: in this folder's parent (`test/fixtures`), which every checkout has, else beside the
 * checkout (`../shared`: real models, tokenizers and data, which are not ours to copy). Tests that need what is missing
 * skip, and say so.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

const own: string = resolve(import.meta.dirname, "..");
const beside: string = resolve(import.meta.dirname, "../../../shared");

/** Absolute path of some material, or null when it is not there. */
function sharedPath(...parts: string[]): string | null {
  const path = join(parts[0] === "fixtures" ? own : beside, ...parts);
  return existsSync(path) ? path : null;
}

/** For `test(name, { skip: skipWithoutShared("models", "x") }, ...)`: false when present, else the reason to print. */
export function skipWithoutShared(...parts: string[]): false | string {
  return sharedPath(...parts) === null ? `no ../shared/${parts.join("/")} beside this checkout` : false;
}

/** The path, for the body of a test that was not skipped. */
export function requireShared(...parts: string[]): string {
  const path = sharedPath(...parts);
  if (path === null) throw new Error(`../shared/${parts.join("/")} is missing`);
  return path;
}
