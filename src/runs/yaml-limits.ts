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

const open = new Set(["[", "{"]);
const closed = new Set(["]", "}"]);
const indicators = new Set(["-", "?", ":"]);

/**
 * Refuses a configuration that is too long or too deep, in time that grows with these limits alone.
 *
 * @throws {ConfigError} naming the limit
 */
export function requireYamlLimits(text: string, file: string): void {
  let tokens = 0;
  let depth = 0;
  let inLine = 0;
  for (const token of new Lexer().lex(text)) {
    if (token.trim() === "") {
      if (token.includes("\n")) inLine = 0;
      continue;
    }
    if (++tokens > maxTokens) {
      throw new ConfigError(
        `${file}: expected a configuration of at most ${maxTokens} words and signs, it has more. Take out what is not a key of preftune's.`,
      );
    }
    if (open.has(token)) depth++;
    else if (closed.has(token)) depth--;
    else if (indicators.has(token)) inLine++;
    if (depth > maxDepth || inLine > maxDepth) {
      throw new ConfigError(
        `${file}: expected a configuration nested at most ${maxDepth} deep, it goes deeper.`,
      );
    }
  }
}
