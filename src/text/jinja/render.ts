/** Renders the syntax tree of a template to text. */
import type { Expression, FilterCall, ForStatement, Statement, Target } from "./ast.ts";
import { callValue } from "./attributes.ts";
import { evaluate, evaluateArguments } from "./expressions.ts";
import { applyFilter } from "./filters.ts";
import { Namespace } from "./globals.ts";
import { Loop } from "./loop.ts";
import { Macro } from "./macro.ts";
import { iterate, iteratorOf, truth } from "./operators.ts";
import { str } from "./printing.ts";
import { BlockScope } from "./scope.ts";
import { OneShot, PythonError, Tuple, textOf, typeName, type Value } from "./values.ts";

/** Variables whose text the tag `generation` writes around what it encloses; empty unless they are given. */
export const generationStart = "preftune_generation_start";
export const generationEnd = "preftune_generation_end";

/** How a body ended: at its end, or by leaving the loop or its round. */
type Ending = "break" | "continue" | null;

/** The text of a body. */
export function renderBody(body: readonly Statement[], scope: BlockScope): string {
  const out: string[] = [];
  run(body, scope, out);
  return out.join("");
}

function run(body: readonly Statement[], scope: BlockScope, out: string[]): Ending {
  for (const statement of body) {
    const ending = step(statement, scope, out);
    if (ending !== null) return ending;
  }
  return null;
}

type Node<K extends Statement["kind"]> = Extract<Statement, { kind: K }>;

function step(node: Statement, scope: BlockScope, out: string[]): Ending {
  switch (node.kind) {
    case "text":
      out.push(node.text);
      return null;
    case "output":
      out.push(str(evaluate(node.value, scope)));
      return null;
    case "if":
      return run(truth(evaluate(node.test, scope)) ? node.then : node.otherwise, scope, out);
    case "for":
      return forLoop(node, scope, out);
    case "break":
    case "continue":
      return node.kind;
    case "unset":
      for (const name of node.names) scope.unset(name);
      return null;
    case "with":
      return withBlock(node, scope, out);
    case "filter block":
    case "set block":
      return captured(node, scope, out);
    default:
      define(node, scope, out);
      return null;
  }
}

function define(node: Node<"set" | "macro" | "call" | "generation">, scope: BlockScope, out: string[]): void {
  switch (node.kind) {
    case "set":
      assign(node.target, evaluate(node.value, scope), scope);
      break;
    case "macro":
      scope.set(node.name, new Macro({ ...node, scope, render: renderBody }));
      break;
    case "call":
      out.push(callBlock(node, scope));
      break;
    case "generation":
      out.push(str(scope.get(generationStart)), generated(node.body, scope), str(scope.get(generationEnd)));
      break;
  }
}

function callBlock({ call, signature, body }: Node<"call">, scope: BlockScope): string {
  const caller = new Macro({ name: null, signature, body, scope, render: renderBody });
  const callee = evaluate(call.callee, scope);
  const { args, kwargs } = evaluateArguments(call.call, scope);
  return asText(callValue(callee, { args, kwargs: new Map([...kwargs, ["caller", caller]]) }));
}

/** The text of a generation block, which is a call block for transformers. */
function generated(body: readonly Statement[], scope: BlockScope): string {
  const signature = { names: [], defaults: [] };
  const caller = new Macro({ name: null, signature, body, scope, render: renderBody });
  return asText(caller.call({ args: [], kwargs: new Map() }));
}

/** What is written without being turned to text first has to be text. */
function asText(value: Value): string {
  const text = textOf(value);
  if (text !== null) return text;
  throw new PythonError("TypeError", `sequence item 0: expected str instance, ${typeName(value)} found`);
}

function withBlock({ targets, body }: Node<"with">, scope: BlockScope, out: string[]): Ending {
  const inner = new BlockScope(scope);
  for (const { target, value } of targets) assign(target, evaluate(value, scope), inner);
  return run(body, inner, out);
}

/** Blocks whose text is caught before it is written or assigned. */
function captured(node: Node<"filter block" | "set block">, scope: BlockScope, out: string[]): Ending {
  const inner = new BlockScope(scope);
  const text: string[] = [];
  const ending = run(node.body, inner, text);
  // Leaving the loop from inside drops what was caught.
  if (ending !== null) return ending;
  const value = filtered(text.join(""), node.filters, inner);
  if (node.kind === "set block") assign(node.target, value, scope);
  else out.push(asText(value));
  return null;
}

function filtered(text: string, filters: readonly FilterCall[], scope: BlockScope): Value {
  return filters.reduce<Value>(
    (value, { name, call }) => applyFilter(name, value, evaluateArguments(call, scope)),
    text,
  );
}

function assign(target: Target, value: Value, scope: BlockScope): void {
  if (target.kind === "name") {
    scope.set(target.name, value);
  } else if (target.kind === "namespace") {
    const namespace = scope.get(target.name);
    if (!(namespace instanceof Namespace)) {
      throw new PythonError("TemplateRuntimeError", "cannot assign attribute on non-namespace object");
    }
    namespace.set(target.attribute, value);
  } else {
    unpack(target.items, value).forEach(([item, part]) => {
      assign(item, part, scope);
    });
  }
}

function unpack(targets: readonly Target[], value: Value): [Target, Value][] {
  if (iteratorOf(value) === null) {
    throw new PythonError("TypeError", `cannot unpack non-iterable ${typeName(value)} object`);
  }
  const parts = [...iterate(value)];
  if (parts.length > targets.length) {
    throw new PythonError("ValueError", `too many values to unpack (expected ${targets.length})`);
  }
  return targets.map((target, i) => {
    const part = parts[i];
    if (part !== undefined) return [target, part];
    throw new PythonError(
      "ValueError",
      `not enough values to unpack (expected ${targets.length}, got ${parts.length})`,
    );
  });
}

function forLoop(node: ForStatement, scope: BlockScope, out: string[]): Ending {
  rounds(node, evaluate(node.iterable, scope), { scope, out, depth: 0 });
  return null;
}

interface Place {
  scope: BlockScope;
  out: string[];
  depth: number;
}

function rounds(node: ForStatement, iterable: Value, { scope, out, depth }: Place): void {
  const recurse = (inner: Value, deeper: number): string => {
    const text: string[] = [];
    rounds(node, inner, { scope, out: text, depth: deeper });
    return text.join("");
  };
  const values = node.test === null ? iterable : new OneShot(passing(node, node.test, iterable, scope));
  const loop = new Loop(values, node.isRecursive ? recurse : null, depth);
  let isEmpty = true;
  for (let value = loop.advance(); value !== undefined; value = loop.advance()) {
    const inner = new BlockScope(scope);
    assign(node.target, value, inner);
    inner.set("loop", loop);
    const ending = run(node.body, inner, out);
    if (ending === "break") break;
    // Jinja takes a loop whose every round was left early for an empty one.
    if (ending === null) isEmpty = false;
  }
  if (isEmpty) run(node.otherwise, new BlockScope(scope), out);
}

/** The values of `iterable` that pass the loop's `if`. */
function* passing(
  node: ForStatement,
  test: Expression,
  iterable: Value,
  scope: BlockScope,
): Generator<Value, void, undefined> {
  for (const value of iterate(iterable)) {
    const inner = new BlockScope(scope);
    assign(node.target, value, inner);
    // Jinja hands on what the targets hold: of several names a tuple.
    if (truth(evaluate(test, inner))) yield heldBy(node.target, inner);
  }
}

function heldBy(target: Target, scope: BlockScope): Value {
  if (target.kind === "tuple") return new Tuple(target.items.map((item) => heldBy(item, scope)));
  return scope.get(target.name);
}
