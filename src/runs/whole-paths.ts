/** Where the whole of a training lies. */
import { join } from "node:path";
import { isFolder } from "../base/open-file.ts";
import type { RunPaths } from "./run-directory.ts";

/** The paths of a run whose adapter and model are those of the whole training: beside an export that takes a part of it. */
export function wholePaths(paths: RunPaths): RunPaths {
  const whole = { ...paths, adapter: join(paths.whole, "adapter"), model: join(paths.whole, "model") };
  // a kill before the export is moved there leaves it empty
  return isFolder(whole.adapter) || isFolder(whole.model) ? whole : paths;
}
