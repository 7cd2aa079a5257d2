/** Code in the documents. */

/** The contents of a document's fenced blocks of a language. */
export function snippetsOf(text: string, language = "ts"): string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms");
  return [...text.matchAll(fence)].map(([, code = ""]) => code);
}
