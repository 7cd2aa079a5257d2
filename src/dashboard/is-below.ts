/** Which paths lie below the folders of a dashboard, and the texts of files there. */
import { existsSync, realpathSync } from "node:fs";
import { isAbsolute, relative } from "node:path";
import { readTextFile } from "../base/files.ts";

/** Whether `path` lies below the folder `root`; both are real paths. A folder is not below itself. */
export function isBelow(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== "" && !way.startsWith("..") && !isAbsolute(way);
}

/** The text of a file below one of `roots`; null where there is none, or a link leads to somewhere else: a folder may be another's gift. */
export function textBelow(roots: readonly string[], path: string): string | null {
  const real = existsSync(path) ? realpathSync(path) : null;
  return real !== null && roots.some((root) => isBelow(root, real)) ? readTextFile(real) : null;
}
