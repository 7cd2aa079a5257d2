/** `word` as a shell takes it: as it is where that is safe, else in single quotes. For hints that can be pasted. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-][\w@%+=:,./~-]*$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
