/** The package's version. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sha256, sha256File } from "./files.ts";

/** Version of this package, from package.json, which stands two folders up in a checkout and in a built package. */
export function codeVersion(): string {
  const path = join(import.meta.dirname, "../../package.json");
  return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
}

/** SHA-256 of the code in folders of `src`: that of a checkout changes without its version. */
export function codeDigest(folders: readonly string[]): string {
  const src = join(import.meta.dirname, "..");
  const files = folders.flatMap((folder) =>
    readdirSync(join(src, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => /(?<!\.test)\.[jt]s$/.test(name))
      .map((name) => join(folder, name)),
  );
  return sha256(
    files
      .sort()
      .map((name) => `${name} ${sha256File(join(src, name))}`)
      .join("\n"),
  );
}
