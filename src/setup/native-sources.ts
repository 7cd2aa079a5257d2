/** The C++ sources of the addon, and one hash of them all. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "../base/files.ts";
import { packageRoot } from "./places.ts";

/** Folder of the native sources. */
export const nativeFolder: string = join(packageRoot, "native");

/** Sources and headers in and below `folder`, as paths from there, sorted. */
export function nativeSources(folder: string = nativeFolder): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(cpp|h)$/.test(name))
    .sort();
}

/** Hash of all sources and headers, names and contents. */
export function sourcesHash(folder: string = nativeFolder): string {
  const parts = nativeSources(folder).map((name) => `${name} ${sha256(readFileSync(join(folder, name)))}`);
  return sha256(parts.join("\n"));
}
