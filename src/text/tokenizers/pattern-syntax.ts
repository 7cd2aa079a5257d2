/** Constructs of Oniguruma that JavaScript has not. The tokenizers library takes them for others, so patterns with them are refused. */

const constructs: readonly (readonly [RegExp, string])[] = [
  [/[*+?]\+/, "the possessive quantifier"],
  [/\(\?>/, "the atomic group"],
  [/\(\?[a-z-]*[ms]/, "the option"],
  [/\\G/, "the anchor"],
  [/\\[1-9k]/, "the backreference"],
];

/**
 * Possessive quantifiers that match what greedy ones do, as published patterns have them: an optional character that is no letter before
 * letters, one at the end of an alternative, and one before what may be empty there.
 */
const harmless =
  /(?<=\[\^[^\]]*\\p\{L\}[^\]]*\])\?\+(?=\\p\{L\})|(?<![*+?}])[*+?]\+(?=(?:\[[^\]]*\]\*)?(?:\||$))/g;

/** Whether groups end alternatives, so that nothing behind one can make it match less. */
const hasPlainEnds = /^(?:[^)]|\)(?=\||$))*$/;

/** The first construct in a pattern that Oniguruma matches differently; null: none that is known. */
export function foreignConstruct(source: string): string | null {
  const greedy = (quantifier: string): string => quantifier.slice(0, -1);
  const syntax = syntaxOf(hasPlainEnds.test(source) ? source.replace(harmless, greedy) : source);
  for (const [construct, name] of constructs) {
    const found = construct.exec(syntax);
    if (found !== null) return `${name} ${found[0]}`;
  }
  return null;
}

/** A pattern without its character classes, which may be nested, and literal escapes: a full stop stands for each. */
function syntaxOf(source: string): string {
  let syntax = "";
  let depth = 0;
  // a bracket that closes right behind one that opens is a character
  for (const [token] of source.matchAll(/\\.|\[\^?\]?|./gs)) {
    const opens = token.startsWith("[");
    if (depth === 0) syntax += opens || /^\\[^G1-9k]/.test(token) ? "." : token;
    if (opens) depth++;
    else if (token === "]" && depth > 0) depth--;
  }
  return syntax;
}
