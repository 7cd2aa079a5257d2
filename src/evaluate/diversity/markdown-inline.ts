/** Strong emphasis and code spans without a partner, by CommonMark's rules of what can open and close. */

/** What was found in a paragraph, list item, heading or table row. */
export interface InlineFindings {
  isFormatted: boolean;
  faults: ("emphasis" | "code_span")[];
}

/** The faults of `text`, one block. Single * and _ are not looked at: they are often no emphasis at all. */
export function inlineFaults(text: string): InlineFindings {
  const code = withoutCode(text);
  const strong = strongIn(code.rest);
  const faults: InlineFindings["faults"] = [];
  if (strong.isOpen) faults.push("emphasis");
  if (code.isOpen) faults.push("code_span");
  return { isFormatted: code.spans > 0 || strong.pairs > 0, faults };
}

/** An escaped sign, or a run of backticks. */
const escapeOrTicks = /\\[!-/:-@[-`{-~]|`+/g;

/** The text with code spans and escaped characters replaced by a letter. */
function withoutCode(text: string): { rest: string; spans: number; isOpen: boolean } {
  const found = { rest: "", spans: 0, isOpen: false };
  let at = 0;
  for (const { 0: sign, index } of text.matchAll(escapeOrTicks)) {
    // inside the span before
    if (index < at) continue;
    const behind = index + sign.length;
    const end = sign.startsWith("`") ? closingRun(text, behind, sign.length) : behind;
    found.rest += text.slice(at, index) + (end < 0 ? sign : "x");
    at = end < 0 ? behind : end;
    if (end < 0) found.isOpen = true;
    else if (sign.startsWith("`")) found.spans += 1;
  }
  found.rest += text.slice(at);
  return found;
}

/** The place behind the next run of exactly `length` backticks, or -1. */
function closingRun(text: string, from: number, length: number): number {
  for (const { 0: run, index } of text.slice(from).matchAll(/`+/g)) {
    if (run.length === length) return from + index + length;
  }
  return -1;
}

const space = /^$|^\s$/u;
const punctuation = /^[\p{P}\p{S}]$/u;
const wordCharacter = /^[\p{L}\p{N}]$/u;

/** Runs of two or three * or _; longer ones are rulers and the like. */
function strongIn(text: string): { pairs: number; isOpen: boolean } {
  const open = { "*": 0, _: 0 };
  let pairs = 0;
  for (const { 0: run, index } of text.matchAll(/\*+|_+/g)) {
    if (run.length < 2 || run.length > 3) continue;
    const sign = run.startsWith("*") ? "*" : "_";
    const role = roleOf(lastOf(text.slice(0, index)), firstOf(text.slice(index + run.length)), sign);
    if (role.closes && open[sign] > 0) {
      open[sign] -= 1;
      pairs += 1;
    } else if (role.opens) open[sign] += 1;
  }
  return { pairs, isOpen: open["*"] + open._ > 0 };
}

/** Left- and right-flanking as in CommonMark; inside a word, as in 2**10, nothing is opened. */
function roleOf(before: string, after: string, sign: "*" | "_"): { opens: boolean; closes: boolean } {
  const isOuter = (character: string): boolean => space.test(character) || punctuation.test(character);
  const left = !space.test(after) && (!punctuation.test(after) || isOuter(before));
  const right = !space.test(before) && (!punctuation.test(before) || isOuter(after));
  const isInWord = wordCharacter.test(before) && wordCharacter.test(after);
  if (sign === "*") return { opens: left && !isInWord, closes: right };
  return {
    opens: left && (!right || punctuation.test(before)),
    closes: right && (!left || punctuation.test(after)),
  };
}

function firstOf(text: string): string {
  return [...text.slice(0, 2)][0] ?? "";
}

function lastOf(text: string): string {
  return [...text.slice(-2)].at(-1) ?? "";
}
