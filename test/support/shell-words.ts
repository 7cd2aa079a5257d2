/** Commands in the shell blocks of the documents, split into words without running anything. */

/** What a word is made of: a quoted part, an escaped character, or plain ones. */
const part = /'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)|([^\s'"\\;|&<>()]+)/sy;
/** What ends a command. */
const separator = /\s*(?:\n|;;?|\|\|?|&&?|\(|\))/y;
const blank = /[ \t]+|\\\n[ \t]*/y;
const comment = /#[^\n]*/y;
const redirect = /\d*[<>]+&?[ \t]*/y;

/** Reads `text` from `at` on with sticky expressions. */
class Reader {
  #at = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  get isDone(): boolean {
    return this.#at >= this.#text.length;
  }

  take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found !== null) this.#at = pattern.lastIndex;
    return found;
  }

  /** The next word, quotes removed; null where there is none. */
  word(): string | null {
    let word: string | null = null;
    for (let found = this.take(part); found !== null; found = this.take(part)) {
      const [, single, double, escaped, plain] = found;
      word = (word ?? "") + (single ?? double?.replace(/\\(.)/gs, "$1") ?? escaped ?? plain ?? "");
    }
    return word;
  }
}

/** Texts that a block hands to its commands, `<<END`, and the block without them. */
function withoutTexts(block: string): string {
  return block.replaceAll(/<<-?['"]?(\w+)['"]?([^\n]*\n)[\s\S]*?^\1$/gm, "$2");
}

/** The simple commands of a block, each as its words. Comments and redirections are left out; variables stay as written. */
export function shellCommands(block: string): string[][] {
  const reader = new Reader(withoutTexts(block).replaceAll(/\$\([^()]*\)/g, "SUBSTITUTED"));
  const commands: string[][] = [];
  let words: string[] = [];
  while (!reader.isDone) {
    if (reader.take(blank) !== null || reader.take(comment) !== null) continue;
    if (reader.take(redirect) !== null) {
      reader.word();
      continue;
    }
    const word = reader.word();
    if (word !== null) {
      words.push(word);
      continue;
    }
    if (reader.take(separator) === null) throw new Error(`cannot read the shell block:\n${block}`);
    commands.push(words);
    words = [];
  }
  return [...commands, words].filter((command) => command.length > 0);
}
