/**
 * Calls torch operators by their schema. `bind` is what the generated signatures stand on: an operator is looked up at
 * the first call, its parameter kinds are worked out once, and each call lowers tensors to handles and back. An operator
 * with several overloads is one function, and each call takes the overload that its arguments fit.
 */
import { TorchError } from "../base/errors.ts";
import { type DType, dtypeCode } from "./dtype.ts";
import { guarded, native, type OperatorDescription } from "./native.ts";
import { Tensor } from "./tensor.ts";

/** A Scalar of torch's schemas. Whole numbers become integer Scalars, as in Python; -0 and fractions become real ones. */
export type Scalar = number | boolean | bigint;

// biome-ignore lint/suspicious/noExplicitAny: the one place where an operator of any signature is held
type AnyOperator = (...args: any[]) => any;

interface Bound {
  id: number;
  name: string;
  schema: string;
  positional: Parameter[];
  keywords: Map<string, number>;
  dtypeAt: number[];
  returnsTensor: boolean;
  /** Takes its first two arguments the other way round. */
  isReflected: boolean;
}

/** What an argument by position may be: a value of a kind, null where None is allowed, undefined where there is a default. */
interface Parameter {
  kind: Kind;
  isOptional: boolean;
  hasDefault: boolean;
}

/** `typeof` names the last three. */
type Kind = "tensor" | "scalar" | "list" | "number" | "boolean" | "string";

const kinds: Readonly<Record<string, Kind>> = {
  Tensor: "tensor",
  number: "scalar",
  Scalar: "scalar",
  bool: "boolean",
  str: "string",
  ScalarType: "string",
  Device: "string",
};

/** snake_case of a schema to camelCase, a trailing underscore (in place) kept: the one naming rule. */
export function camelCase(name: string): string {
  return name.replace(/(?<=[a-z0-9])_([a-z0-9])/gi, (_, letter: string) => letter.toUpperCase());
}

/** The schema of an operator, or null when the torch in use has none of that name, e.g. "aten::add.Tensor". */
export function describe(qualifiedName: string): OperatorDescription | null {
  const id = find(qualifiedName);
  return id === undefined ? null : native.describeOperator(id);
}

function find(qualifiedName: string): number | undefined {
  const [name = "", overload = ""] = qualifiedName.split(".", 2);
  return native.findOperator(name, overload);
}

function resolve(qualifiedName: string, isReflected = false): Bound {
  const id = find(qualifiedName);
  if (id === undefined) {
    throw new TorchError(
      `torch ${native.torchVersion()} has no operator ${qualifiedName}. preftune needs torch 2.9 or newer: see "preftune doctor".`,
    );
  }
  const { schema, parameters, returns } = native.describeOperator(id);
  const keywords = new Map<string, number>();
  parameters.forEach((p, i) => {
    if (p.keywordOnly) keywords.set(camelCase(p.name), i);
  });
  const positional = parameters.filter((p) => !p.keywordOnly).map(parameterOf);
  return {
    id,
    name: qualifiedName,
    schema,
    positional: isReflected ? exchanged(positional) : positional,
    keywords,
    dtypeAt: parameters.flatMap((p, i) => (/ScalarType/.test(p.type) ? [i] : [])),
    returnsTensor: returns.length === 1 && returns[0] === "Tensor",
    isReflected,
  };
}

function parameterOf({ type, hasDefault }: OperatorDescription["parameters"][number]): Parameter {
  const isOptional = type.endsWith("?");
  const plain = isOptional ? type.slice(0, -1) : type;
  return { kind: plain.endsWith("[]") ? "list" : (kinds[plain] ?? "number"), isOptional, hasDefault };
}

function exchanged<T>([first, second, ...rest]: readonly T[]): T[] {
  return [second as T, first as T, ...rest];
}

/** The overload that `args` fit. */
function choose(overloads: readonly Bound[], args: readonly unknown[]): Bound {
  for (const bound of overloads) if (takes(bound, args)) return bound;
  throw new TorchError(
    `no overload of ${operatorOf(overloads[0]?.name ?? "")} takes (${args.map(shown).join(", ")}); there are\n  ` +
      overloads
        .map(({ schema, isReflected }) => schema + (isReflected ? ", with self and other exchanged" : ""))
        .join("\n  "),
  );
}

function takes({ positional, keywords }: Bound, args: readonly unknown[]): boolean {
  if (!positional.every((parameter, i) => fits(args[i], parameter))) return false;
  const options = args[positional.length];
  return options === undefined || (keywords.size > 0 && isOptions(options));
}

function fits(value: unknown, { kind, isOptional, hasDefault }: Parameter): boolean {
  if (value === undefined) return hasDefault;
  if (value === null) return isOptional;
  if (kind === "tensor") return value instanceof Tensor;
  if (kind === "list") return Array.isArray(value);
  if (kind === "scalar") {
    return typeof value === "number" || typeof value === "boolean" || typeof value === "bigint";
  }
  return typeof value === kind;
}

/** Numbers from 1 to 7 for what `fits` looks at, tensors and options alike: those stand at different places. */
function kindNumber(value: unknown): number {
  if (typeof value === "object") return value === null ? 1 : Array.isArray(value) ? 2 : 3;
  if (typeof value === "number" || typeof value === "bigint") return 4;
  if (typeof value === "string") return 5;
  return value === undefined ? 6 : 7;
}

function isOptions(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Tensor);
}

function shown(value: unknown): string {
  if (value instanceof Tensor)
    return value.isAlive ? `${value.dtype}[${value.shape.join(", ")}]` : "a freed tensor";
  if (Array.isArray(value)) return `[${value.map(shown).join(", ")}]`;
  if (typeof value === "object" && value !== null) return `{ ${Object.keys(value).join(", ")} }`;
  return typeof value === "string" ? `"${value}"` : String(value);
}

function expandKeywords(bound: Bound, args: unknown[]): void {
  const options = args.length > bound.positional.length ? args[bound.positional.length] : undefined;
  args.length = bound.positional.length;
  for (const [key, value] of Object.entries(options ?? {})) {
    const at = bound.keywords.get(key);
    if (at === undefined) {
      throw new TorchError(
        `${bound.name} has no option "${key}"; it has ${[...bound.keywords.keys()].join(", ")}`,
      );
    }
    args[at] = value;
  }
}

function lower(value: unknown): unknown {
  if (value instanceof Tensor) return value.handle;
  if (Array.isArray(value) && value.some((item) => item instanceof Tensor)) return value.map(lower);
  return value;
}

function lift(result: unknown): unknown {
  if (typeof result === "number") return new Tensor(result);
  if (Array.isArray(result)) return result.map(lift);
  return result;
}

function invoke(bound: Bound, args: unknown[]): unknown {
  const first = args[0];
  if (bound.isReflected) [args[0], args[1]] = [args[1], first];
  if (args.length > bound.positional.length) expandKeywords(bound, args);
  for (const i of bound.dtypeAt) {
    const dtype = args[i];
    if (typeof dtype === "string") args[i] = dtypeCode(dtype as DType);
  }
  for (let i = 0; i < args.length; i++) {
    const value = args[i];
    if (typeof value === "object" && value !== null) args[i] = lower(value);
  }
  const result = guarded(() => native.call(bound.id, ...args));
  if (!bound.returnsTensor) return liftMany(result);
  // in place: torch gave its first argument back
  return first instanceof Tensor && result === first.handle ? first : lift(result);
}

function liftMany(result: unknown): unknown {
  return Array.isArray(result) ? result.map(lift) : result;
}

/**
 * A function calling the operator `name`, e.g. "aten::exp": schema arguments before `*` by position, those after it in a
 * trailing options object (camelCase). `undefined` stands for the schema's default, `null` for None.
 *
 * Of several names, overloads of one operator ("aten::sub.Tensor", "aten::sub.Scalar"), each call takes the first whose
 * schema its arguments fit. One of another operator ("aten::rsub.Scalar") stands for the first two arguments exchanged.
 *
 * @throws {TorchError} at the first call if torch lacks the operator; at any call with operator, schema and shapes
 */
export function bind<F extends AnyOperator>(name: string, ...others: readonly string[]): F {
  return (others.length === 0 ? bindOne(name) : bindOverloads([name, ...others])) as F;
}

function bindOne(name: string): AnyOperator {
  let bound: Bound | null = null;
  return (...args: unknown[]): unknown => {
    bound ??= resolve(name);
    return invoke(bound, args);
  };
}

function bindOverloads(names: readonly string[]): AnyOperator {
  let overloads: Bound[] | null = null;
  // by the kinds of the first three arguments, within which overloads differ
  const chosen: Bound[] = [];
  return (...args: unknown[]): unknown => {
    let kinds = 0;
    for (let i = 0; i < args.length && i < 3; i++) kinds = 8 * kinds + kindNumber(args[i]);
    let bound = chosen[kinds];
    if (bound === undefined) {
      overloads ??= names.map((name) => resolve(name, operatorOf(name) !== operatorOf(names[0] ?? "")));
      bound = choose(overloads, args);
      chosen[kinds] = bound;
    }
    return invoke(bound, args);
  };
}

/** "aten::add.Tensor" -> "aten::add" */
export function operatorOf(qualifiedName: string): string {
  return qualifiedName.replace(/\..*/, "");
}
