/** What differs between two texts, word by word. */

/** A piece of text: in both, or in the one it was asked of alone. */
export interface WordPiece {
  text: string;
  isOwn: boolean;
}

/** Longest texts that are compared, in words: the table has as many cells as their product. */
const mostWords = 1200;
/** Least part of the words that two texts have in common; with less, marks would be everywhere and say nothing. */
const leastCommon = 0.2;

/**
 * `text` in pieces, those marked that `other` lacks, by a longest common subsequence of their words; null where there is nothing to
 * mark: they have hardly a word in common, or are too long to be compared.
 */
export function wordsAgainst(text: string, other: string): WordPiece[] | null {
  const [own, others] = [wordsOf(text), wordsOf(other)];
  if (own.length > mostWords || others.length > mostWords) return null;
  const common = commonOf(own, others);
  const inBoth = common.filter((is) => is).length;
  if (inBoth < leastCommon * Math.max(own.length, others.length)) return null;
  const pieces: WordPiece[] = [];
  for (const [i, word] of own.entries()) {
    const isOwn = common[i] !== true;
    const last = pieces.at(-1);
    if (last !== undefined && last.isOwn === isOwn) last.text += word;
    else pieces.push({ text: word, isOwn });
  }
  return pieces;
}

/** Words and signs, each with the gap behind it; joined again they are the text. */
function wordsOf(text: string): string[] {
  return text.match(/\s*(?:[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_])\s*/guy) ?? [];
}

/** Which of `own` belong to a longest common subsequence with `others`; gaps do not count: they would match everywhere. */
function commonOf(ownWords: readonly string[], otherWords: readonly string[]): boolean[] {
  const [own = [], others = []] = [ownWords, otherWords].map((words) => words.map((word) => word.trim()));
  const width = others.length + 1;
  const longest = new Uint16Array((own.length + 1) * width);
  const cell = (i: number, j: number): number => longest[i * width + j] ?? 0;
  for (let i = own.length - 1; i >= 0; i--) {
    for (let j = others.length - 1; j >= 0; j--) {
      longest[i * width + j] =
        own[i] === others[j] ? cell(i + 1, j + 1) + 1 : Math.max(cell(i + 1, j), cell(i, j + 1));
    }
  }
  const common = own.map(() => false);
  for (let i = 0, j = 0; i < own.length && j < others.length; ) {
    if (own[i] === others[j]) {
      common[i] = true;
      i++;
      j++;
    } else if (cell(i + 1, j) >= cell(i, j + 1)) i++;
    else j++;
  }
  return common;
}
