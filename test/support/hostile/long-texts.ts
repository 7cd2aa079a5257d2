/** Pieces of long texts that are hard for what reads them, and answers of models and judges made of them. */

/** Of each there are texts of 100 KB, in data, answers and replies. */
export const hostilePieces: readonly string[] = [
  " ",
  "\n",
  "\t",
  '"',
  "\\",
  "[",
  "{",
  "(",
  "'",
  "a",
  "array(",
  "\n\nHuman:",
  "\n\nAssistant: ",
  "<|im_start|>",
  "{%",
  "é",
  "😀",
  "\u0000",
];

/** Answers of `size` characters that begin what they do not end, by what that is. */
export function hostileReplies(size: number): Readonly<Record<string, string>> {
  const of = (piece: string): string => piece.repeat(size / piece.length);
  return {
    "a tag that opens": `<${of(" ")}`,
    "tags that open": of("<think "),
    "a channel without a message": `<|channel|>${of("a")}`,
    "channels without a message": of("<|channel|>a"),
    "brackets and spaces": of("[ "),
    "a rating without a number": `Rating${of(" ")}`,
    "ratings without a number": of("Rating: *[1"),
    "a line of dashes under a table": `|a|\n|---${of(" ")}x\n`,
    "bars and dashes": `|a|\n${of("|-")}x\n`,
    "a rule": `---${of(" ")}x`,
    "spaces behind a word": `a${of(" ")}b`,
    "a heading": `#${of(" ")}x`,
    "a fence": `${of("`")}a\`b`,
    "emphasis that opens": of("**a __b "),
    digits: `${of("1")}x`,
    "list markers": of("1. "),
  };
}
