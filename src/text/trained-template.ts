/** The chat template that something was trained with, and the one that it is asked with. */
import { isFolder } from "../base/open-file.ts";
import { shellWord } from "../base/shell-word.ts";
import { warn } from "../base/warn.ts";
import { adapterPlace } from "../formats/adapter-scale.ts";
import { ownChatTemplate } from "./tokenizer-files.ts";

/** What is put on a model, and the template that is given for both. */
export interface AskedModel {
  model: string;
  adapter?: string | null;
  /** Name, file, directory or text; null or left out: the model's own is used. */
  chatTemplate?: string | null | undefined;
}

/** The chat template that an adapter brings along, where it is another than the model's; null: there is none, or it is the same. */
export function broughtTemplate(adapter: string, model: string): string | null {
  const own = ownChatTemplate(adapterPlace(adapter).place);
  return own === null || own === ownChatTemplate(model) ? null : own;
}

/** Warns where an adapter, or a tuned model of which a part is taken, brings another chat template than the model's, which is used. */
export function tellOtherTemplate({ model, adapter = null, chatTemplate = null }: AskedModel): void {
  if (adapter === null || chatTemplate !== null) return;
  const { place } = adapterPlace(adapter);
  if (!isFolder(place) || !isFolder(model)) return;
  if (broughtTemplate(adapter, model) === null) return;
  warn(
    `${place}: it was trained with another chat template than that of ${model}, which is used. ` +
      `Give its own: --chat-template ${shellWord(place)}`,
  );
}
