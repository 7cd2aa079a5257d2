/** Where others find what a run was made of: its base model and data sets on the hub. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readSealed } from "../base/sealed.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { Fingerprints, RunPaths } from "./run-directory.ts";

/** The base model of a run, `owner/name`, and its commit; null: it was a directory. */
export interface HubBase {
  name: string;
  commit: string;
}

/** The base model as the run's `models.json` pins it. */
export function hubBase({ dir }: Pick<RunPaths, "dir">, config: RunConfig): HubBase | null {
  const path = join(dir, "models.json");
  const known = existsSync(path) ? readSealed(path)["model_name_or_path"] : undefined;
  const pinned = typeof known === "string" ? known : config.model_name_or_path;
  const [, name, commit] = /^hub:([^@]+)@([0-9a-f]{40})$/.exec(pinned) ?? [];
  return name === undefined || commit === undefined ? null : { name, commit };
}

/** Data sets of the hub, `owner/name`, among the files that rows were read from. */
export function hubDataSets(fingerprints: Pick<Fingerprints, "data"> | null): string[] {
  const files = Object.keys(fingerprints?.data ?? {});
  return [...new Set(files.flatMap((path) => /^hub:([\w.-]+\/[\w.-]+)/.exec(path)?.[1] ?? []))];
}
