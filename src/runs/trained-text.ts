/** How chats were rendered when something was trained, and how they are rendered when it is asked. */
import { realpathSync } from "node:fs";
import { PreftuneError } from "../base/errors.ts";
import { isFolder } from "../base/open-file.ts";
import { shellWord } from "../base/shell-word.ts";
import { warn } from "../base/warn.ts";
import { adapterPlace } from "../formats/adapter-scale.ts";
import { ownChatTemplate } from "../text/tokenizer-files.ts";
import { broughtTemplate } from "../text/trained-template.ts";
import { runAround, runPaths } from "./run-directory.ts";
import { readRunJson } from "./run-json.ts";

/** A model with or without an adapter, or with a tuned model of which a part is taken, and what is given for its chats. */
export interface AskedModel {
  model: string;
  adapter?: string | null;
  /** Name, file, directory or text; null or left out: the model's own is used. */
  chatTemplate?: string | null | undefined;
  /** Null or left out: as the template has it without. */
  enableThinking?: boolean | null | undefined;
}

/** Warns where chats are rendered otherwise than they were in training, and says with which options they are not. */
export function tellOtherText(asked: AskedModel): void {
  tellOtherTemplate(asked);
  tellOtherThinking(asked);
}

/** Where an adapter brings another chat template than the model's, which is used. */
function tellOtherTemplate({ model, adapter = null, chatTemplate = null }: AskedModel): void {
  if (adapter === null || chatTemplate !== null) return;
  const { place } = adapterPlace(adapter);
  if (!isFolder(place) || !isFolder(model)) return;
  if (broughtTemplate(adapter, model) === null) return;
  warn(
    `${place}: it was trained with another chat template than that of ${model}, which is used. ` +
      `Give its own: --chat-template ${shellWord(place)}`,
  );
}

/** Where a run gave its template a value of `enable_thinking`: what it exports does not say so, the run that it lies in does. */
function tellOtherThinking({ model, adapter = null, enableThinking = null }: AskedModel): void {
  const { place } = adapter === null ? { place: model } : adapterPlace(adapter);
  if (!isFolder(place)) return;
  try {
    const run = runAround(realpathSync(place));
    if (run === undefined) return;
    const trained = readRunJson(runPaths(run).runJson).config.enable_thinking;
    if (trained === null || trained === enableThinking) return;
    const template = ownChatTemplate(place) ?? (isFolder(model) ? ownChatTemplate(model) : null);
    if (template?.includes("enable_thinking") !== true) return;
    const got = enableThinking === null ? "as its template has it without" : `with ${enableThinking}`;
    warn(
      `${place}: it was trained with enable_thinking ${trained}, and is asked ${got}. Give --enable-thinking ${trained}`,
    );
  } catch (error) {
    // what cannot be read is said by whoever loads it
    if (!(error instanceof PreftuneError)) throw error;
  }
}
