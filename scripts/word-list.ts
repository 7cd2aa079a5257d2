/** Words that the documents, messages and comments do not use: private or archaic ones for which the field has its own. */

/** A word that is refused, and what to write. */
interface RefusedWord {
  pattern: RegExp;
  instead: string;
}

/**
 * The list. A word comes in when readers stumbled over it and nobody would search for it; ordinary English that is only
 * unlovely stays out, and so does a word with a plain meaning beside the private one, unless the pattern tells them apart.
 */
const refused: readonly RefusedWord[] = [
  { pattern: /\bmend(s|ed|ing)?\b/i, instead: "fix, correct" },
  {
    pattern: /\btold\b|\btells? of\b|\btelling of\b/i,
    instead: "reported, logged, warned, unless set otherwise",
  },
  { pattern: /\banew\b/i, instead: "again, reset, from scratch" },
  { pattern: /\bof (one's|your|its|their|our|my|his) own\b/i, instead: "custom, your own X, a separate X" },
  { pattern: /\b(go|goes|going|went|gone) on\b/i, instead: "continue, resume, proceed" },
  { pattern: /\bcut off\b/i, instead: "interrupted, truncated" },
  { pattern: /\b(held|holds?|told|tells?)\b[^.]{0,20}\bapart\b/i, instead: "separate, distinguish" },
  {
    pattern: /\b(is|are|was|were|be|been|stays?|still|once|not) whole\b(?! (number|model|numbers|step))/i,
    instead: "complete, intact",
  },
  { pattern: /\blikelier\b|\blikeliest\b/i, instead: "more likely, most likely" },
  { pattern: /\bshares? of\b/i, instead: "fraction of, rate" },
  {
    pattern: /\b(is|are|was|were|not|no|a|anything but an?) sound\b|\bunsound\b/i,
    instead: "valid, finite, intact",
  },
  { pattern: /\bas (it|they) stands?\b/i, instead: "verbatim, unchanged" },
  { pattern: /\bsave for\b/i, instead: "except" },
  { pattern: /\botherwise than\b/i, instead: "differently from" },
  { pattern: /\blet one say\b/i, instead: "inconclusive" },
  { pattern: /\bwhat came of\b/i, instead: "result of" },
  {
    pattern: /\b(slip of the pen|vouched for|come to (its|their) senses)\b/i,
    instead: "typo, trusted, recover",
  },
  { pattern: /\b(is|are|was|were) believed\b/i, instead: "trusted" },
  { pattern: /\bgone through\b|\bgoes through\b/i, instead: "iterated over, read" },
  { pattern: /\bput(s|ting)? (it|them)? ?right\b/i, instead: "fix, repair" },
  { pattern: /\bvoices?\b/i, instead: "adapter, variant" },
  { pattern: /\bstandings?\b/i, instead: "rank, result" },
  { pattern: /\b(broken|breaks|break) off\b/i, instead: "interrupted, ends early" },
  { pattern: /\b(else|otherwise) (is )?said\b|\bsaid otherwise\b/i, instead: "unless set otherwise" },
  { pattern: /\bthrown on\b/i, instead: "rethrown" },
  { pattern: /\bshall\b/i, instead: "must, should" },
];

/** A refused word in a text. */
export interface WordFound {
  /** 1 for the first line. */
  line: number;
  word: string;
  instead: string;
}

/** Markdown with its code and the results of past runs (between `<!-- figures -->` and `<!-- end -->`) blanked. */
export function proseOf(markdown: string): string {
  const blank = (code: string) => code.replace(/[^\n]/g, " ");
  return markdown
    .replace(/^ *```[\s\S]*?^ *```/gm, blank)
    .replace(/<!-- figures -->[\s\S]*?<!-- end -->/g, blank)
    .replace(/`[^`\n]*`/g, blank);
}

/** The refused words of a text, in order. */
export function refusedWords(text: string): WordFound[] {
  return text.split("\n").flatMap((content, index) =>
    refused.flatMap(({ pattern, instead }) => {
      const word = pattern.exec(content)?.[0];
      return word === undefined ? [] : [{ line: index + 1, word, instead }];
    }),
  );
}
