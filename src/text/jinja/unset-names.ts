/**
 * Names that a block sets and does not read before: Jinja has them as the block's own from its beginning, so that a block
 * inside it that reads one too early finds nothing, and not a variable of the same name.
 */
import type { Expression, FilterCall, Signature, Statement, Target } from "./ast.ts";

/** The names of a block, as they are met from its beginning to its end, without those of blocks inside it. */
class BlockNames {
  readonly outer: BlockNames | null;
  /** By name, whether it has no value at the beginning. */
  readonly own: Map<string, boolean>;
  readonly stored: Set<string>;

  constructor(
    outer: BlockNames | null,
    own: Map<string, boolean> = new Map(),
    stored: Set<string> = new Set(),
  ) {
    this.outer = outer;
    this.own = own;
    this.stored = stored;
  }

  isKnown(name: string): boolean {
    return this.own.has(name) || (this.outer?.isKnown(name) ?? false);
  }

  /** Reads every name in a part of the tree. */
  read(part: Expression | readonly (Expression | FilterCall)[]): void {
    for (const name of namesIn(part)) if (!this.isKnown(name)) this.own.set(name, false);
  }

  parameter(name: string): void {
    this.stored.add(name);
    this.own.set(name, false);
  }

  store(name: string): void {
    this.stored.add(name);
    if (!this.own.has(name)) this.own.set(name, !this.isKnown(name));
  }

  /** What is set in only one branch keeps the value from outside in the other. */
  branch(bodies: readonly (readonly Statement[])[]): void {
    const branches = bodies.map((body) => {
      const names = new BlockNames(this.outer, new Map(this.own), new Set(this.stored));
      for (const statement of body) meet(statement, names);
      return names;
    });
    const fresh = branches.flatMap(({ stored }) => [...stored]).filter((name) => !this.stored.has(name));
    for (const { own, stored } of branches) {
      for (const [name, isUnset] of own) this.own.set(name, isUnset);
      for (const name of stored) this.stored.add(name);
    }
    for (const name of fresh) this.own.set(name, false);
  }
}

/** Puts a statement that unsets such names at the beginning of each block of a template. */
export function unsetNames(template: Statement[]): void {
  enter(template, new BlockNames(null));
}

/** @param given - names that have a value when the body begins */
function enter(body: Statement[], names: BlockNames, given: ReadonlySet<string> = new Set()): void {
  for (const statement of body) meet(statement, names);
  for (const statement of body) enterBlocks(statement, names);
  const unset = [...names.own].filter(([name, isUnset]) => isUnset && !given.has(name));
  if (unset.length > 0) body.unshift({ kind: "unset", names: unset.map(([name]) => name) });
}

/** What a statement reads and sets in the block that it stands in, in Jinja's order. */
function meet(node: Statement, names: BlockNames): void {
  switch (node.kind) {
    case "output":
      names.read(node.value);
      break;
    case "if":
      names.read(node.test);
      names.branch([node.then, node.otherwise]);
      break;
    case "for":
      names.read(node.iterable);
      break;
    case "set":
      names.read(node.value);
      meetTarget(node.target, names);
      break;
    case "set block":
      meetTarget(node.target, names);
      break;
    case "macro":
      names.store(node.name);
      break;
    case "call":
      names.read(node.call);
      break;
    case "filter block":
      names.read(node.filters);
      break;
    case "with":
      names.read(node.targets.map(({ value }) => value));
      break;
  }
}

function meetTarget(target: Target, names: BlockNames): void {
  if (target.kind === "tuple") for (const item of target.items) meetTarget(item, names);
  else if (target.kind === "name") names.store(target.name);
  else names.read({ kind: "name", name: target.name });
}

function enterBlocks(node: Statement, outer: BlockNames): void {
  const names = new BlockNames(outer);
  switch (node.kind) {
    case "if":
      for (const statement of [...node.then, ...node.otherwise]) enterBlocks(statement, outer);
      break;
    case "for":
      for (const name of [...targetNames(node.target), "loop"]) names.parameter(name);
      enter(node.body, names);
      enter(node.otherwise, new BlockNames(outer));
      break;
    case "macro":
    case "call":
      enterCallable(node, names);
      break;
    case "with":
      for (const { target } of node.targets) meetTarget(target, names);
      enter(node.body, names, new Set(names.own.keys()));
      break;
    case "set block":
    case "filter block":
    case "generation":
      enter(node.body, names);
      break;
  }
}

function enterCallable(
  { signature, body }: { signature: Signature; body: Statement[] },
  names: BlockNames,
): void {
  for (const name of [...signature.names, "caller", "kwargs", "varargs"]) names.parameter(name);
  names.read(signature.defaults);
  enter(body, names);
}

function targetNames(target: Target): string[] {
  return target.kind === "tuple" ? target.items.flatMap(targetNames) : [target.name];
}

/** Every name that is read below `node`. */
export function namesIn(node: unknown, found: Set<string> = new Set()): Set<string> {
  if (typeof node !== "object" || node === null) return found;
  const { kind, name } = node as { kind?: unknown; name?: unknown };
  if (kind === "name" && typeof name === "string") found.add(name);
  for (const child of Object.values(node)) namesIn(child, found);
  return found;
}
