/** Reads a template's tokens one after the other. */
import { SyntaxFault, type Token } from "./lexer.ts";

/** A place among tokens. */
export class TokenReader {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  /** The token to be read next. */
  get token(): Token {
    return this.peek(0);
  }

  protected peek(ahead: number): Token {
    return this.#tokens[this.#at + ahead] ?? { type: "end", value: "", line: 1 };
  }

  protected next(): Token {
    const token = this.token;
    this.#at++;
    return token;
  }

  protected is(type: "name" | "operator", ...values: string[]): boolean {
    return this.token.type === type && values.includes(this.token.value as string);
  }

  protected skip(type: "name" | "operator", value: string): boolean {
    if (!this.is(type, value)) return false;
    this.#at++;
    return true;
  }

  protected expect(type: Token["type"], value = ""): Token {
    const { token } = this;
    if (token.type !== type || (value !== "" && token.value !== value)) {
      throw this.fault(
        `expected ${value === "" ? describeType(type) : `'${value}'`}, got ${describe(token)}`,
      );
    }
    return this.next();
  }

  protected name(): string {
    return String(this.expect("name").value);
  }

  protected fault(message: string): SyntaxFault {
    return new SyntaxFault(message, this.token.line);
  }
}

function describeType(type: Token["type"]): string {
  return { variable_end: "'}}'", block_end: "'%}'", end: "end of template" }[type as string] ?? `a ${type}`;
}

/** A token as an error names it. */
export function describe(token: Token): string {
  return token.value === "" ? describeType(token.type) : `'${token.value}'`;
}
