/**
 * Limits of configurations in YAML, checked before the text is parsed: what the parser does with many keys grows with their
 * square, and a short text can ask for more nesting than a stack holds.
 */
import { Lexer } from "yaml";
import { ConfigError } from "../base/errors.ts";

/** Words and signs that a configuration may have: a key and its value are four. */
const maxTokens = 20_000;
/** Nesting of brackets, and of `- - -` or `? ? ?` on a line. A configuration's own goes four deep. */
const maxDepth = 64;

const indicators = new Set(["-", "?", ":"]);

/**
 * Refuses a configuration that is too long or too deep, in time that grows with these limits alone.
 *
 * @throws {ConfigError} naming the limit
 */
export function requireYamlLimits(text: string, file: string): void {
  const refuse = (most: string): never => {
    throw new ConfigError(`${file}: expected a configuration ${most}.`);
  };
  let tokens = 0;
  let depth = 0;
  let inLine = 0;
  for (const token of new Lexer().lex(text)) {
    if (token.includes("\n") && token.trim() === "") inLine = 0;
    if (token.trim() !== "" && ++tokens > maxTokens)
      refuse(`of at most ${maxTokens} words and signs, it has more. Take out what is no key of preftune's`);
    depth += nestingOf(token);
    if (indicators.has(token)) inLine++;
    if (depth > maxDepth || inLine > maxDepth) refuse(`nested at most ${maxDepth} deep, it goes deeper`);
  }
}

/** How much deeper it is behind a bracket. */
function nestingOf(token: string): number {
  if (token === "[" || token === "{") return 1;
  return token === "]" || token === "}" ? -1 : 0;
}
