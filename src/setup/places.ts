/** Where things are: the package's folder, and the folder for what is installed or built for it. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** The package's folder: the nearest one above this file that has a package.json. */
export const packageRoot: string = findRoot(import.meta.dirname);

/** True in a checkout, false in a package installed by npm. */
export const isCheckout: boolean = existsSync(join(packageRoot, "src", "setup"));

/** The command that installs what is missing, as a user types it. */
export const setupCommand: string = isCheckout ? "npm run setup" : "npx preftune setup";

function findRoot(start: string): string {
  let folder = start;
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder) return start;
    folder = parent;
  }
  return folder;
}

/**
 * The folder that holds the project's own torch, the built addon and the record of both.
 *
 * In a checkout `.preftune`, so that deleting it undoes everything; for an installed package the user's cache folder,
 * because npm replaces a package's folder at every update.
 */
export function stateFolder(): string {
  if (isCheckout) return join(packageRoot, ".preftune");
  const cache = process.env["XDG_CACHE_HOME"];
  if (cache !== undefined && cache !== "") return join(cache, "preftune");
  return process.platform === "darwin"
    ? join(homedir(), "Library", "Caches", "preftune")
    : join(homedir(), ".cache", "preftune");
}

/** The folder for tokenised rows: what PREFTUNE_ROW_CACHE says, else one in that of everything else. */
export function rowFolder(): string {
  const given = process.env["PREFTUNE_ROW_CACHE"];
  return given === undefined || given === "" ? join(stateFolder(), "rows") : given;
}
