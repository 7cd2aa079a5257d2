/** A workbench is a directory: what is labelled in `labels.sqlite`, versions of data beside it. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { shellWord } from "../base/shell-word.ts";
import { LabelStore } from "./label-store.ts";

/** The file of labels in the workbench `dir`. */
function labelsPath(dir: string): string {
  return join(dir, "labels.sqlite");
}

/** Whether `dir` is a workbench. */
export function isWorkbench(dir: string): boolean {
  return existsSync(labelsPath(dir));
}

/** Opens the labels of `dir`, made where there are none. */
export function makeWorkbench(dir: string): LabelStore {
  return new LabelStore(labelsPath(dir));
}

/** Opens the labels of `dir`. @throws {ConfigError} where there are none */
export function openWorkbench(dir: string): LabelStore {
  if (isWorkbench(dir)) return makeWorkbench(dir);
  throw new ConfigError(
    `${dir}: expected a workbench (a directory with labels.sqlite), there is none. Make one: preftune labels import ${shellWord(dir)} FILE`,
  );
}
