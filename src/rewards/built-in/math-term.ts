/** A mathematical answer as a tree, made of what the LaTeX library reads (MathJSON, before any simplification). */

/** A number, a symbol, words, or an operator with its arguments. */
export type Term =
  | { kind: "number"; value: number; exact: bigint | null; isDecimal: boolean }
  | { kind: "symbol"; name: string }
  | { kind: "words"; text: string }
  | { kind: "operator"; name: string; of: readonly Term[] };

/** Deepest nesting that is read. */
const deepest = 60;

/** The tree of a MathJSON expression; null where it holds an error, or something that has no place in an answer. */
export function termOf(json: unknown, depth = 0): Term | null {
  if (depth > deepest) return null;
  if (typeof json === "number") return numberOf(String(json));
  if (typeof json === "string") return symbolOrWords(json);
  if (Array.isArray(json)) return operatorOf(json, depth);
  const { num, fn, sym, str } = Object(json) as Record<string, unknown>;
  if (typeof num === "string") return numberOf(num);
  if (Array.isArray(fn)) return operatorOf(fn, depth);
  if (typeof sym === "string") return symbolOf(sym);
  return typeof str === "string" ? { kind: "words", text: str } : null;
}

function symbolOrWords(text: string): Term | null {
  if (text === "Nothing" || text === "Error") return null;
  return text.startsWith("'") ? { kind: "words", text: text.slice(1, -1) } : symbolOf(text);
}

/** A symbol, whatever its letters are set in: v for \mathbf{v}. */
function symbolOf(name: string): Term {
  return { kind: "symbol", name: name.replace(/_(?:bold|italic|sansserif|monospace)$/, "") };
}

function numberOf(num: string): Term | null {
  const repeating = /^(-?\d+\.\d*)\((\d{1,15})\)$/.exec(num);
  const digits = repeating === null ? num : `${repeating[1]}${(repeating[2] ?? "").repeat(20).slice(0, 20)}`;
  const value = digits === "+Infinity" ? Number.POSITIVE_INFINITY : finite(Number(digits));
  const exact = /^-?\d+$/.test(num) ? BigInt(num) : null;
  if (Number.isNaN(value) && exact === null) return null;
  // a repeating decimal is as exact as the fraction that it stands for
  return { kind: "number", value, exact, isDecimal: repeating === null && digits.includes(".") };
}

/** NaN for what is beyond float64. */
function finite(value: number): number {
  return Number.isFinite(value) ? value : Number.NaN;
}

function operatorOf([name, ...rest]: readonly unknown[], depth: number): Term | null {
  if (typeof name !== "string" || name === "Error") return null;
  if (name === "Delimiter") return delimited(rest, depth);
  if (name === "__unit__") return { kind: "words", text: String(rest[0]) };
  // how it is set does not count: \textbf{A} is A
  if (name === "Annotated") return termOf(rest[0], depth + 1);
  const read = rest.map((each) => termOf(each, depth + 1));
  const of = read.filter((each) => each !== null);
  if (of.length < read.length) return null;
  const [first, second] = of;
  if (name === "InvisibleOperator") return mixedNumber(rest, of) ?? product(of);
  if (name === "Greater" || name === "GreaterEqual") {
    return { kind: "operator", name: name.replace("Greater", "Less"), of: of.toReversed() };
  }
  if ((name === "Measurement" || name === "PlusMinus") && first !== undefined && second !== undefined) {
    const both = ["Add", "Subtract"].map(
      (each): Term => ({ kind: "operator", name: each, of: [first, second] }),
    );
    return { kind: "operator", name: "Set", of: both };
  }
  return { kind: "operator", name: name === "Or" ? "Set" : name, of };
}

/** What stands in parentheses: itself, or the parts of a tuple; parts without parentheses are a set: their order does not count. */
function delimited([inside, marks]: readonly unknown[], depth: number): Term | null {
  const isSequence = Array.isArray(inside) && inside[0] === "Sequence";
  if (!isSequence) return termOf(inside, depth + 1);
  const style = termOf(marks);
  const name = style?.kind === "words" && style.text.startsWith(",") ? "Set" : "Tuple";
  return operatorOf([name, ...inside.slice(1)], depth);
}

/** A whole number with a fraction behind it, neither in parentheses, and perhaps a unit; null: it is something else. */
function mixedNumber(written: readonly unknown[], parts: readonly Term[]): Term | null {
  const [first, second, ...others] = parts;
  const hasParentheses = written.some((each) => Array.isArray(each) && each[0] === "Delimiter");
  if (hasParentheses || first === undefined || second === undefined || !isFraction(second)) return null;
  if (others.some(({ kind }) => kind !== "words")) return null;
  const isNegative = first.kind === "operator" && first.name === "Negate";
  const whole = isNegative ? first.of[0] : first;
  if (whole === undefined || !isWhole(whole)) return null;
  const sum: Term = { kind: "operator", name: "Add", of: [whole, second] };
  return isNegative ? { kind: "operator", name: "Negate", of: [sum] } : sum;
}

/** What stands side by side: a quantity, whose unit does not count, or a product. */
function product(parts: readonly Term[]): Term | null {
  const factors = parts.filter(({ kind }) => kind !== "words");
  const [first] = factors;
  if (first === undefined) return parts[0] ?? null;
  return factors.length === 1 ? first : { kind: "operator", name: "Multiply", of: factors };
}

function isWhole(term: Term): boolean {
  return term.kind === "number" && term.exact !== null;
}

function isFraction(term: Term): boolean {
  return term.kind === "operator" && term.name === "Divide" && term.of.every(isWhole);
}
