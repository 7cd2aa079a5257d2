/** Keys: what is on the page says which it takes, and `?` lists them. */
import { signal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";

/** A key and what it does. */
export interface KeyUse {
  /** As `KeyboardEvent.key` has it. */
  key: string;
  what: string;
  /** Whether a held key does it again and again: a held verdict would judge pairs that nobody has read. */
  repeats?: boolean;
  run: () => void;
}

/** The keys at hand, those of the page first. */
export const keyUses = signal<readonly KeyUse[]>([]);

/** Takes keys while the component is on the page. `because`: what makes them others. */
export function useKeys(uses: readonly KeyUse[], because: readonly unknown[]): void {
  // each rendering makes other objects of the same uses
  // as soon as what they are for is shown: an effect after the painting would miss a quick key
  useLayoutEffect(() => {
    keyUses.value = [...keyUses.value, ...uses];
    return () => {
      keyUses.value = keyUses.value.filter((use) => !uses.includes(use));
    };
  }, because);
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  // while the list of keys is shown, keys do not act on what lies behind it
  if (event.key !== "?" && document.querySelector("dialog[open]") !== null) return;
  const use = keyUses.value.findLast(({ key }) => key === event.key);
  if (use === undefined) return;
  event.preventDefault();
  if (!event.repeat || use.repeats === true) use.run();
});

/** Whether what is pressed goes into a field; a link or button keeps Enter and Space alone. */
function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button"].includes(target.type);
  return target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName);
}
