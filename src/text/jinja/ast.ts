/** The syntax tree of a Jinja template. */
import type { Operator } from "./operators.ts";
import type { Value } from "./values.ts";

/** Arguments as written at a call. */
export interface CallArguments {
  args: Expression[];
  kwargs: { name: string; value: Expression }[];
  /** `*sequence`, or null. */
  star: Expression | null;
  /** `**mapping`, or null. */
  doubleStar: Expression | null;
}

/** An operator that compares two values. */
export type Comparison = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";

/** A filter with its arguments. */
export interface FilterCall {
  name: string;
  call: CallArguments;
}

/** Anything with a value. */
export type Expression =
  | { kind: "constant"; value: Value }
  | { kind: "name"; name: string }
  | { kind: "list" | "tuple"; items: Expression[] }
  | { kind: "dict"; entries: { key: Expression; value: Expression }[] }
  | { kind: "attribute"; object: Expression; name: string }
  | { kind: "item"; object: Expression; key: Expression }
  | { kind: "slice"; object: Expression; bounds: (Expression | null)[] }
  | { kind: "call"; callee: Expression; call: CallArguments }
  | { kind: "filter"; operand: Expression; filter: FilterCall }
  | { kind: "test"; operand: Expression; name: string; call: CallArguments; negated: boolean }
  | { kind: "not"; operand: Expression }
  | { kind: "sign"; operator: "-" | "+"; operand: Expression }
  | { kind: "binary"; operator: Operator; left: Expression; right: Expression }
  | { kind: "concat"; parts: Expression[] }
  | { kind: "and" | "or"; left: Expression; right: Expression }
  | { kind: "compare"; first: Expression; rest: { operator: Comparison; right: Expression }[] }
  | { kind: "condition"; test: Expression; then: Expression; otherwise: Expression | null; line: number };

/** What can be assigned to: a name, several at once, or an attribute of a namespace. */
export type Target =
  | { kind: "name"; name: string }
  | { kind: "tuple"; items: Target[] }
  | { kind: "namespace"; name: string; attribute: string };

/** Parameters of a macro or of a call block. */
export interface Signature {
  names: string[];
  /** Defaults of the last names. */
  defaults: Expression[];
}

/** Anything between two tags, and the tags. */
export type Statement =
  | { kind: "text"; text: string }
  | { kind: "output"; value: Expression }
  | { kind: "if"; test: Expression; then: Statement[]; otherwise: Statement[] }
  | ForStatement
  | { kind: "set"; target: Target; value: Expression }
  | { kind: "set block"; target: Target; filters: FilterCall[]; body: Statement[] }
  | { kind: "macro"; name: string; signature: Signature; body: Statement[] }
  | { kind: "call"; call: Expression & { kind: "call" }; signature: Signature; body: Statement[] }
  | { kind: "filter block"; filters: FilterCall[]; body: Statement[] }
  | { kind: "with"; targets: { target: Target; value: Expression }[]; body: Statement[] }
  | { kind: "generation"; body: Statement[] }
  /** No tag: names of the block that have no value yet. */
  | { kind: "unset"; names: string[] }
  | { kind: "break" | "continue" };

/** `{% for target in iterable if test recursive %}`. */
export interface ForStatement {
  kind: "for";
  target: Target;
  iterable: Expression;
  test: Expression | null;
  isRecursive: boolean;
  body: Statement[];
  otherwise: Statement[];
}
