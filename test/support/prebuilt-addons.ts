/** The platform's package of prebuilt addons, as it is published. */
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { sha256 } from "../../src/base/files.ts";
import { sourcesHash } from "../../src/setup/native-sources.ts";
import { stateFolder } from "../../src/setup/places.ts";
import { runProgram } from "./long-program.ts";

const root = join(import.meta.dirname, "../..");

/** Folders of installed torches other than the pinned one, which the nightly tests of addons use too. */
export const otherTorches: readonly string[] = (process.env["PREFTUNE_TORCHES"] ?? "")
  .split(delimiter)
  .filter((folder) => folder !== "");

/** The package with an addon for each torch, built once for each state of what it is built from. @returns its folder */
export function prebuiltPackageFor(...torchFolders: readonly string[]): string {
  const parts = ["old-glibc.h", "build-prebuilt.ts"].map((name) => readFileSync(join(root, "scripts", name)));
  const key = sha256(JSON.stringify([sourcesHash(), torchFolders, ...parts.map(String)])).slice(0, 16);
  const built = join(stateFolder(), `test-prebuilt-${key}`);
  if (!existsSync(join(built, "package.json"))) {
    const program = ["--conditions=preftune-source", "scripts/build-prebuilt.ts"];
    const torches = torchFolders.flatMap((folder) => ["--torch", folder]);
    runProgram(root, process.execPath, ...program, built, ...torches);
  }
  return built;
}
