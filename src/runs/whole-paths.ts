/** Where the whole of a training lies. */
import { join } from "node:path";
import { isFolder } from "../base/open-file.ts";
import type { RunPaths } from "./run-directory.ts";

/** The paths of a run whose adapter and model are those of the whole training: beside an export that takes a part of it. */
export function wholePaths(paths: RunPaths): RunPaths {
  if (!isFolder(paths.whole)) return paths;
  return { ...paths, adapter: join(paths.whole, "adapter"), model: join(paths.whole, "model") };
}
