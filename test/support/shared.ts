/** Finds the material beside the checkout (`../shared`) that some tests use; tests skip, and say so, without it. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

const root: string = resolve(import.meta.dirname, "../../../shared");

/** Absolute path of something under `../shared`, or null when it is not there. */
export function sharedPath(...parts: string[]): string | null {
  const path = join(root, ...parts);
  return existsSync(path) ? path : null;
}

/** For `test(name, { skip: skipWithoutShared("fixtures") }, ...)`: false when present, else the reason to print. */
export function skipWithoutShared(...parts: string[]): false | string {
  return sharedPath(...parts) === null ? `no ../shared/${parts.join("/")} beside this checkout` : false;
}

/** The path, for the body of a test that was not skipped. */
export function requireShared(...parts: string[]): string {
  const path = sharedPath(...parts);
  if (path === null) throw new Error(`../shared/${parts.join("/")} is missing`);
  return path;
}
