/** `text` as the source of a regular expression that finds it, with or without the flag `u`. */
export function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}
