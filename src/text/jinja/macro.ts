/** Macros and call blocks: their arguments, as Jinja binds them. */
import type { Signature, Statement } from "./ast.ts";
import { evaluate } from "./expressions.ts";
import { BlockScope } from "./scope.ts";
import { namesIn } from "./unset-names.ts";
import { type Arguments, Callable, Dict, PythonError, Tuple, Undefined, type Value } from "./values.ts";

/** What a macro is made of. */
export interface MacroParts {
  /** Null for the body of a call block. */
  name: string | null;
  signature: Signature;
  body: readonly Statement[];
  /** Names that hold where the macro is defined. */
  scope: BlockScope;
  render: (body: readonly Statement[], scope: BlockScope) => string;
}

type Extra = "caller" | "kwargs" | "varargs";

/** A macro as a value. */
export class Macro extends Callable {
  readonly #parts: MacroParts;

  constructor(parts: MacroParts) {
    const extras = namesIn(parts.body);
    super(parts.name ?? "anonymous", (call) => invoke(parts, extras, call), "Macro");
    this.#parts = parts;
  }

  override repr(): string {
    const { name } = this.#parts;
    return name === null ? "<Macro anonymous>" : `<Macro '${name}'>`;
  }

  override attribute(name: string): Value | undefined {
    const { signature } = this.#parts;
    if (name === "name") return this.#parts.name;
    return name === "arguments" ? new Tuple(signature.names) : undefined;
  }
}

function invoke(parts: MacroParts, extras: ReadonlySet<string>, call: Arguments): string {
  const { names } = parts.signature;
  const kwargs = new Map(call.kwargs);
  const scope = new BlockScope(parts.scope);
  const uses = (name: Extra): boolean => extras.has(name) && !names.includes(name);
  bindParameters(parts, scope, { args: call.args, kwargs });
  if (uses("caller")) {
    scope.set("caller", kwargs.get("caller") ?? new Undefined("No caller defined"));
    kwargs.delete("caller");
  }
  const shown = parts.name === null ? "None" : `'${parts.name}'`;
  const [unknown] = kwargs.keys();
  if (uses("kwargs")) {
    scope.set("kwargs", Dict.of(kwargs));
  } else if (unknown !== undefined) {
    throw new PythonError("TypeError", `macro ${shown} takes no keyword argument '${unknown}'`);
  }
  if (uses("varargs")) {
    scope.set("varargs", new Tuple(call.args.slice(names.length)));
  } else if (call.args.length > names.length) {
    throw new PythonError("TypeError", `macro ${shown} takes not more than ${names.length} argument(s)`);
  }
  return parts.render(parts.body, scope);
}

/** Sets the parameters; those named in `kwargs` are taken out of it. */
function bindParameters(
  { signature }: MacroParts,
  scope: BlockScope,
  { args, kwargs }: { args: readonly Value[]; kwargs: Map<string, Value> },
): void {
  const { names, defaults } = signature;
  const given = names.map((name, i) => {
    if (i < args.length) return args[i];
    const value = kwargs.get(name);
    kwargs.delete(name);
    return value;
  });
  // A default sees the parameters that are given or stand before it, and no names outside in the place of the others.
  names.forEach((name, i) => {
    const value = given[i];
    if (value === undefined) scope.unset(name);
    else scope.set(name, value);
  });
  names.forEach((name, i) => {
    if (given[i] !== undefined) return;
    const fallback = defaults[i - names.length + defaults.length];
    if (fallback !== undefined) scope.set(name, evaluate(fallback, scope));
    else scope.set(name, new Undefined(`parameter '${name}' was not provided`));
  });
}
