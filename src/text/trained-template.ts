/** The chat template that something was trained with. */
import { adapterPlace } from "../formats/adapter-scale.ts";
import { ownChatTemplate } from "./tokenizer-files.ts";

/** The chat template that an adapter brings along, where it is another than the model's; null: there is none, or it is the same. */
export function broughtTemplate(adapter: string, model: string): string | null {
  const own = ownChatTemplate(adapterPlace(adapter).place);
  return own === null || own === ownChatTemplate(model) ? null : own;
}
