/** Which paths lie below the folders of a dashboard. */
import { isAbsolute, relative } from "node:path";

/** Whether `path` lies below the folder `root`; both are real paths. A folder is not below itself. */
export function isBelow(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== "" && !way.startsWith("..") && !isAbsolute(way);
}
