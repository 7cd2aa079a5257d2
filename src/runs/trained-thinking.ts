/** The value of `enable_thinking` that something was trained with: what a run exports does not say it, the run that it lies in does. */
import { realpathSync } from "node:fs";
import { PreftuneError } from "../base/errors.ts";
import { isFolder } from "../base/open-file.ts";
import { warn } from "../base/warn.ts";
import { adapterPlace } from "../formats/adapter-scale.ts";
import { runAround, runPaths } from "./run-directory.ts";
import { readRunJson } from "./run-json.ts";

/** A model with or without an adapter, or with a tuned model of which a part is taken, and how its chats are rendered. */
export interface AskedToThink {
  model: string;
  adapter?: string | null;
  /** Null or left out: as the template has it without. */
  enableThinking?: boolean | null | undefined;
}

/** Warns where chats are rendered with another value than that of the training. */
export function tellOtherThinking({ model, adapter = null, enableThinking = null }: AskedToThink): void {
  const { place } = adapter === null ? { place: model } : adapterPlace(adapter);
  if (!isFolder(place)) return;
  try {
    const run = runAround(realpathSync(place));
    if (run === undefined) return;
    const trained = readRunJson(runPaths(run).runJson).config.enable_thinking;
    if (trained === null || trained === enableThinking) return;
    const got = enableThinking === null ? "as its template has it without" : `with ${enableThinking}`;
    warn(
      `${place}: it was trained with enable_thinking ${trained}, and is asked ${got}. Give --enable-thinking ${trained}`,
    );
  } catch (error) {
    // what cannot be read is said by whoever loads it
    if (!(error instanceof PreftuneError)) throw error;
  }
}
