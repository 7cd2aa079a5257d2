/** Values of expressions. */
import type { CallArguments, Comparison, Expression } from "./ast.ts";
import { callValue, getAttribute, getItem } from "./attributes.ts";
import { applyFilter } from "./filters.ts";
import { arithmetic, contains, equals, iterate, order, signed, truth } from "./operators.ts";
import { str } from "./printing.ts";
import type { BlockScope } from "./scope.ts";
import { slice } from "./slices.ts";
import { callTest } from "./tests.ts";
import {
  type Arguments,
  Dict,
  PythonError,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

type Kind = Expression["kind"];
type Node<K extends Kind> = Expression & { kind: K };

const evaluators: { [K in Kind]: (node: Node<K>, scope: BlockScope) => Value } = {
  constant: ({ value }) => value,
  name: ({ name }, scope) => scope.get(name),
  list: ({ items }, scope) => items.map((item) => evaluate(item, scope)),
  tuple: ({ items }, scope) => new Tuple(items.map((item) => evaluate(item, scope))),
  dict: ({ entries }, scope) => {
    const dict = new Dict();
    for (const { key, value } of entries) dict.set(evaluate(key, scope), evaluate(value, scope));
    return dict;
  },
  attribute: ({ object, name }, scope) => getAttribute(evaluate(object, scope), name),
  item: ({ object, key }, scope) => getItem(evaluate(object, scope), evaluate(key, scope)),
  slice: ({ object, bounds }, scope) => {
    const value = evaluate(object, scope);
    const [start = null, stop = null, step = null] = bounds.map((bound) =>
      bound === null ? null : evaluate(bound, scope),
    );
    return slice(value, { start, stop, step });
  },
  call: ({ callee, call }, scope) => callValue(evaluate(callee, scope), evaluateArguments(call, scope)),
  filter: ({ operand, filter }, scope) =>
    applyFilter(filter.name, evaluate(operand, scope), evaluateArguments(filter.call, scope)),
  test: ({ operand, name, call, negated }, scope) =>
    callTest(name, evaluate(operand, scope), evaluateArguments(call, scope)) !== negated,
  not: ({ operand }, scope) => !truth(evaluate(operand, scope)),
  sign: ({ operator, operand }, scope) => signed(operator, evaluate(operand, scope)),
  binary: ({ operator, left, right }, scope) =>
    arithmetic(operator, evaluate(left, scope), evaluate(right, scope)),
  // Added one to the other rather than joined: V8 then shares the parts, and a text that doubles takes no memory.
  concat: ({ parts }, scope) => parts.reduce((text, part) => text + str(evaluate(part, scope)), ""),
  and: ({ left, right }, scope) => {
    const value = evaluate(left, scope);
    return truth(value) ? evaluate(right, scope) : value;
  },
  or: ({ left, right }, scope) => {
    const value = evaluate(left, scope);
    return truth(value) ? value : evaluate(right, scope);
  },
  compare: ({ first, rest }, scope) => {
    let left = evaluate(first, scope);
    for (const { operator, right } of rest) {
      const value = evaluate(right, scope);
      if (!compare(operator, left, value)) return false;
      left = value;
    }
    return true;
  },
  condition: ({ test, then, otherwise, line }, scope) => {
    if (truth(evaluate(test, scope))) return evaluate(then, scope);
    if (otherwise !== null) return evaluate(otherwise, scope);
    return new Undefined(
      `the inline if-expression on line ${line} evaluated to false and no else section was defined.`,
    );
  },
};

/** The value of `node` where the names of `scope` hold. */
export function evaluate(node: Expression, scope: BlockScope): Value {
  const work = evaluators[node.kind] as (node: Expression, scope: BlockScope) => Value;
  return work(node, scope);
}

function compare(operator: Comparison, left: Value, right: Value): boolean {
  switch (operator) {
    case "==":
      return equals(left, right);
    case "!=":
      return !equals(left, right);
    case "in":
      return contains(right, left);
    case "not in":
      return !contains(right, left);
    default: {
      const sign = order(left, right, operator);
      if (sign === null) return false;
      return sign === 0 ? operator.endsWith("=") : sign < 0 === operator.startsWith("<");
    }
  }
}

/** The values of the arguments of a call. */
export function evaluateArguments(call: CallArguments, scope: BlockScope): Arguments {
  const args = call.args.map((arg) => evaluate(arg, scope));
  if (call.star !== null) args.push(...iterate(evaluate(call.star, scope)));
  const kwargs = new Map<string, Value>();
  for (const { name, value } of call.kwargs) kwargs.set(name, evaluate(value, scope));
  if (call.doubleStar !== null) addMapping(kwargs, evaluate(call.doubleStar, scope));
  return { args, kwargs };
}

function addMapping(kwargs: Map<string, Value>, mapping: Value): void {
  if (!(mapping instanceof Dict)) {
    throw new PythonError("TypeError", `argument after ** must be a mapping, not ${typeName(mapping)}`);
  }
  for (const [key, value] of mapping.entries()) {
    const name = textOf(key);
    if (name === null) throw new PythonError("TypeError", "keywords must be strings");
    if (kwargs.has(name))
      throw new PythonError("TypeError", `got multiple values for keyword argument '${name}'`);
    kwargs.set(name, value);
  }
}
