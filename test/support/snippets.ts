/** Code and tables in the documents. */

/** The contents of a document's fenced blocks of a language. */
export function snippetsOf(text: string, language = "ts"): string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms");
  return [...text.matchAll(fence)].map(([, code = ""]) => code);
}

/** The cells of a line of a table. */
export function cellsOf(line: string): string[] {
  return line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());
}
