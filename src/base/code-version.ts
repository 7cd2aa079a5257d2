/** The package's version. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Version of this package, from package.json, which stands two folders up in a checkout and in a built package. */
export function codeVersion(): string {
  const path = join(import.meta.dirname, "../../package.json");
  return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
}
