/** Splits a template into tokens as Jinja's lexer does with trim_blocks, lstrip_blocks and its usual delimiters. */
import { pythonSpace, spaceClass as space, stripCharacters } from "./characters.ts";
import { parseFloatText, parseInteger, tooManyDigits } from "./numbers.ts";
import { UnsupportedError } from "./values.ts";

/** A piece of a template. */
export type Token = (
  | { type: "text" | "name" | "string" | "operator"; value: string }
  | { type: "integer"; value: bigint }
  | { type: "float"; value: number }
  | { type: "block_begin" | "block_end" | "variable_begin" | "variable_end" | "end"; value: "" }
) & { line: number };

/** The template is not Jinja: where and why. */
export class SyntaxFault extends Error {
  constructor(message: string, line: number) {
    super(`line ${line}: ${message}`);
  }
}

const tagStart = new RegExp(`\\{%([-+]?)${space}*raw${space}*(?:-%\\}${space}*|%\\})|\\{([{%#])([-+]?)`, "g");
const rawEnd = new RegExp(`\\{%([-+]?)${space}*endraw${space}*(?:\\+%\\}|-%\\}${space}*|%\\}\\n?)`, "g");
const commentEnd = new RegExp(`\\+#\\}|-#\\}${space}*|#\\}\\n?`, "g");
const blockEnd = new RegExp(`\\+%\\}|-%\\}${space}*|%\\}\\n?`, "y");
const variableEnd = new RegExp(`-\\}\\}${space}*|\\}\\}`, "y");
const spaces = new RegExp(`${space}+`, "y");
const onlySpaces = new RegExp(`^${space}+$`);
const floatPattern = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const integerPattern = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const namePattern = /[\p{XID_Continue}_]+/uy;
const stringPattern = /'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"/sy;
const operatorPattern = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}<>=.:|,;]/y;

/** The tokens of `template`. @throws SyntaxFault */
export function tokenize(template: string): Token[] {
  return new Lexer(template).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  readonly #open: string[] = [];
  #at = 0;
  #line = 1;
  #startsLine = true;

  constructor(template: string) {
    const unified = template.replace(/\r\n|\r/g, "\n");
    this.#source = unified.endsWith("\n") ? unified.slice(0, -1) : unified;
  }

  run(): Token[] {
    while (this.#at < this.#source.length) this.#root();
    this.#push({ type: "end", value: "", line: this.#line });
    return this.#tokens;
  }

  #push(token: Token): void {
    this.#tokens.push(token);
  }

  /** Moves behind `match`, counting its lines. */
  #advance(end: number): void {
    const passed = this.#source.slice(this.#at, end);
    for (const c of passed) if (c === "\n") this.#line++;
    if (passed !== "") this.#startsLine = passed.endsWith("\n");
    this.#at = end;
  }

  #search(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#source);
  }

  /** Text up to the next tag, and the beginning of that tag. */
  #root(): void {
    const match = this.#search(tagStart);
    if (match === null) {
      this.#text(this.#source.slice(this.#at));
      this.#advance(this.#source.length);
      return;
    }
    const [tag, rawSign, kind, sign] = match;
    const text = this.#source.slice(this.#at, match.index);
    this.#text(
      kind === "{" ? cut(text, sign ?? "", null) : cut(text, rawSign ?? sign ?? "", this.#startsLine),
    );
    this.#advance(match.index + tag.length);
    if (kind === undefined) this.#raw();
    else if (kind === "#") this.#comment();
    else this.#inside(kind === "{" ? "variable" : "block");
  }

  #text(value: string): void {
    if (value !== "") this.#push({ type: "text", value, line: this.#line });
  }

  #raw(): void {
    const match = this.#search(rawEnd);
    if (match === null) throw new SyntaxFault("Missing end of raw directive", this.#line);
    this.#text(cut(this.#source.slice(this.#at, match.index), match[1] ?? "", this.#startsLine));
    this.#advance(match.index + match[0].length);
  }

  #comment(): void {
    const match = this.#search(commentEnd);
    if (match === null) throw new SyntaxFault("Missing end of comment tag", this.#line);
    this.#advance(match.index + match[0].length);
  }

  #inside(kind: "variable" | "block"): void {
    this.#push({ type: `${kind}_begin`, value: "", line: this.#line });
    const ending = kind === "variable" ? variableEnd : blockEnd;
    for (;;) {
      if (this.#at >= this.#source.length) return;
      const end = this.#open.length === 0 ? this.#search(ending) : null;
      if (end !== null) {
        this.#push({ type: `${kind}_end`, value: "", line: this.#line });
        this.#advance(this.#at + end[0].length);
        return;
      }
      this.#token();
    }
  }

  #take(pattern: RegExp): string | null {
    const match = this.#search(pattern)?.[0] ?? null;
    return match === null || match === "" ? null : match;
  }

  #token(): void {
    const line = this.#line;
    const skipped = this.#take(spaces);
    if (skipped !== null) {
      this.#advance(this.#at + skipped.length);
      return;
    }
    const float = this.#take(floatPattern);
    const integer = float === null ? this.#take(integerPattern) : null;
    const name = float === null && integer === null ? this.#take(namePattern) : null;
    const text = float ?? integer ?? name ?? this.#take(stringPattern);
    if (float !== null) {
      this.#push({ type: "float", value: parseFloatText(float) ?? 0, line });
    } else if (integer !== null) {
      this.#push({ type: "integer", value: integerOf(integer), line });
    } else if (name !== null) {
      if (!/^[\p{XID_Start}_]/u.test(name)) throw new SyntaxFault("Invalid character in identifier", line);
      this.#push({ type: "name", value: name, line });
    } else if (text !== null) {
      this.#push({ type: "string", value: literalText(text.slice(1, -1), line), line });
    }
    this.#advance(this.#at + (text ?? this.#operator()).length);
  }

  #operator(): string {
    const operator = this.#take(operatorPattern);
    if (operator === null) {
      throw new SyntaxFault(`unexpected char ${JSON.stringify(this.#source[this.#at])}`, this.#line);
    }
    const closing = { "{": "}", "(": ")", "[": "]" }[operator];
    if (closing !== undefined) this.#open.push(closing);
    if (["}", ")", "]"].includes(operator)) {
      const expected = this.#open.pop();
      if (expected !== operator) {
        const wanted = expected === undefined ? "" : `, expected '${expected}'`;
        throw new SyntaxFault(`unexpected '${operator}'${wanted}`, this.#line);
      }
    }
    this.#push({ type: "operator", value: operator, line: this.#line });
    return operator;
  }
}

/** Text before a tag without the white space that the tag takes away; `startsLine` null: lstrip_blocks does not apply. */
function cut(text: string, sign: string, startsLine: boolean | null): string {
  if (sign === "-") return stripCharacters(text, "right", pythonSpace);
  if (sign === "+" || startsLine === null) return text;
  const lineStart = text.lastIndexOf("\n") + 1;
  const isIndent = (lineStart > 0 || startsLine) && onlySpaces.test(text.slice(lineStart));
  return isIndent ? text.slice(0, lineStart) : text;
}

const escapes: Readonly<Record<string, string>> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

function integerOf(text: string): bigint {
  const value = parseInteger(text, 0);
  if (value === null) throw tooManyDigits();
  return value;
}

const escapePattern = /\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|(.))/gsu;

/** A string literal's text: Python's escapes, unknown ones left as they are. */
function literalText(source: string, line: number): string {
  let text = "";
  let from = 0;
  for (const match of source.matchAll(escapePattern)) {
    text += source.slice(from, match.index) + escaped(match, line);
    from = match.index + match[0].length;
  }
  return text + source.slice(from);
}

function escaped([all, octal, x, u, long, single = ""]: RegExpExecArray, line: number): string {
  if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
  const hex = x ?? u ?? long;
  if (hex !== undefined) return fromCode(Number.parseInt(hex, 16), line);
  if (single === "N") throw new UnsupportedError("the escape \\N{...} in a string");
  if (single === "x" || single === "u" || single === "U") {
    throw new SyntaxFault(`truncated \\${single} escape in a string`, line);
  }
  return escapes[single] ?? all;
}

function fromCode(code: number, line: number): string {
  if (code <= 0x10ffff) return String.fromCodePoint(code);
  throw new SyntaxFault("illegal Unicode character in a string", line);
}
