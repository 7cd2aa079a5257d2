/** Text of files on a terminal: nothing in it may steer the terminal or turn lines around. */
import { unicodeEscape } from "./unicode-escape.ts";

/** Control characters but line breaks, and those that change the direction of text or break lines. */
const steering = /[^\P{Cc}\n]|[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** `text` with what could steer a terminal written out: `\u001b` for escape, `\t` for a tab. Line breaks stay. */
export function printable(text: string): string {
  return text.replace(steering, (sign) => (sign === "\t" ? "\\t" : unicodeEscape(sign)));
}
