/** A code unit of UTF-16 as an escape of JSON and JavaScript: `\u0085`. */
export function unicodeEscape(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
