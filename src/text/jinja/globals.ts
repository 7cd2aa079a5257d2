/** The names that every chat template has: Jinja's globals and those that transformers adds. */
import { strftime } from "../strftime.ts";
import { bind, toText } from "./arguments.ts";
import { copyOf } from "./attributes.ts";
import { iterate } from "./operators.ts";
import { repr, str } from "./printing.ts";
import { range } from "./range.ts";
import {
  type Arguments,
  Callable,
  Dict,
  PyObject,
  PythonError,
  Tuple,
  UnsupportedError,
  type Value,
} from "./values.ts";

/** What `namespace(...)` makes: attributes that `{% set ns.name = ... %}` can change. */
export class Namespace extends PyObject {
  override readonly typeName: string = "TemplateNamespace";
  readonly #attributes: Dict;

  constructor(attributes: Dict) {
    super();
    this.#attributes = attributes;
    for (const name of attributes.keys()) checkName(name);
  }

  set(name: string, value: Value): void {
    checkName(name);
    this.#attributes.set(name, value);
  }

  override attribute(name: string): Value | undefined {
    return this.#attributes.get(name);
  }

  override repr(): string {
    return `<Namespace ${repr(this.#attributes)}>`;
  }
}

function checkName(name: Value): void {
  if (typeof name !== "string" || !name.startsWith("_")) return;
  throw new PythonError(
    "SecurityError",
    `Chat templates cannot store underscore-prefixed attributes on a namespace, but got ${repr(name)}. ` +
      `Please rename the attribute.`,
  );
}

/** `dict(mapping_or_pairs, **kwargs)`. */
function makeDict({ args, kwargs }: Arguments): Dict {
  const [source = null, ...rest] = args;
  if (rest.length > 0) {
    throw new PythonError("TypeError", `dict expected at most 1 argument, got ${args.length}`);
  }
  const dict = source instanceof Dict ? copyOf(source) : new Dict();
  if (args.length > 0 && !(source instanceof Dict)) {
    for (const pair of iterate(source)) {
      const [key, value, ...more] = iterate(pair);
      if (key === undefined || value === undefined || more.length > 0) {
        throw new PythonError(
          "ValueError",
          "dictionary update sequence element has a wrong length; 2 is required",
        );
      }
      dict.set(key, value);
    }
  }
  for (const [key, value] of kwargs) dict.set(key, value);
  return dict;
}

/** transformers' `dict`: callable, with `fromkeys`, and without type attributes. */
class TemplateDict extends PyObject {
  override readonly typeName: string = "TemplateDict";

  override get call(): (call: Arguments) => Value {
    return makeDict;
  }

  override attribute(name: string): Value | undefined {
    if (name === "fromkeys") throw new UnsupportedError("dict.fromkeys");
    return undefined;
  }
}

/** What the name `self` holds: the template's blocks, of which a chat template has none. */
class TemplateReference extends PyObject {
  override readonly typeName: string = "TemplateReference";

  override repr(): string {
    return "<TemplateReference None>";
  }
}

/** Goes round its items. */
class Cycler extends PyObject {
  override readonly typeName: string = "Cycler";
  readonly #items: readonly Value[];
  #at = 0;

  constructor(items: readonly Value[]) {
    super();
    if (items.length === 0) throw new PythonError("RuntimeError", "at least one item has to be provided");
    this.#items = items;
  }

  override attribute(name: string): Value | undefined {
    const current = this.#items[this.#at] ?? null;
    if (name === "current") return current;
    if (name === "pos") return BigInt(this.#at);
    if (name === "items") return new Tuple(this.#items);
    if (name === "reset") {
      return new Callable(name, () => {
        this.#at = 0;
        return null;
      });
    }
    if (name !== "next") return undefined;
    return new Callable(name, () => {
      const item = this.#items[this.#at] ?? null;
      this.#at = (this.#at + 1) % this.#items.length;
      return item;
    });
  }
}

/** Gives nothing the first time and its separator from then on. */
class Joiner extends PyObject {
  override readonly typeName: string = "Joiner";
  readonly #separator: Value;
  #isUsed = false;

  constructor(separator: Value) {
    super();
    this.#separator = separator;
  }

  override get call(): () => Value {
    return () => {
      const text = this.#isUsed ? this.#separator : "";
      this.#isUsed = true;
      return text;
    };
  }
}

/** Globals of a render. `now`: milliseconds since 1970 that `strftime_now` reads as now. */
export function makeGlobals(now: number): Map<string, Value> {
  const functions: Record<string, (call: Arguments) => Value> = {
    range,
    namespace: (call) => new Namespace(makeDict(call)),
    cycler: ({ args }) => new Cycler(args),
    joiner: (call) => {
      const [separator = ", "] = bind("joiner", call, ["sep"]);
      return new Joiner(separator);
    },
    lipsum: () => {
      throw new UnsupportedError("lipsum, which makes random text,");
    },
    raise_exception: (call) => {
      throw new PythonError("TemplateError", str(bind("raise_exception", call, ["message!"])[0] ?? null));
    },
    strftime_now: (call) =>
      strftime(new Date(now), toText(bind("strftime_now", call, ["format!"])[0], "strftime() format")),
  };
  const globals = new Map<string, Value>([
    ["dict", new TemplateDict()],
    ["self", new TemplateReference()],
  ]);
  for (const [name, work] of Object.entries(functions)) {
    globals.set(name, new Callable(name, work, "function"));
  }
  return globals;
}
