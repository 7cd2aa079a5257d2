/**
 * Calls torch operators by their schema. `bind` is what the generated signatures stand on: the operator is looked up
 * at the first call, its parameter kinds are worked out once, and each call lowers tensors to handles and back.
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
  positional: number;
  keywords: Map<string, number>;
  dtypeAt: number[];
  returnsTensor: boolean;
}

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

function resolve(qualifiedName: string): Bound {
  const id = find(qualifiedName);
  if (id === undefined) {
    throw new TorchError(
      `torch ${native.torchVersion()} has no operator ${qualifiedName}. preftune needs torch 2.9 or newer: see "preftune doctor".`,
    );
  }
  const { parameters, returns } = native.describeOperator(id);
  const keywords = new Map<string, number>();
  parameters.forEach((p, i) => {
    if (p.keywordOnly) keywords.set(camelCase(p.name), i);
  });
  return {
    id,
    name: qualifiedName,
    positional: parameters.length - keywords.size,
    keywords,
    dtypeAt: parameters.flatMap((p, i) => (/ScalarType/.test(p.type) ? [i] : [])),
    returnsTensor: returns.length === 1 && returns[0] === "Tensor",
  };
}

function expandKeywords(bound: Bound, args: unknown[]): void {
  const options = args.length > bound.positional ? args[bound.positional] : undefined;
  args.length = bound.positional;
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

function invoke(bound: Bound, given: unknown[]): unknown {
  const first = given[0];
  const args = given;
  if (args.length > bound.positional) expandKeywords(bound, args);
  for (const i of bound.dtypeAt) {
    if (typeof args[i] === "string") args[i] = dtypeCode(args[i] as DType);
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
 * A function calling the operator `qualifiedName`: schema arguments before `*` by position, those after it in a
 * trailing options object (camelCase). `undefined` stands for the schema's default, `null` for None.
 *
 * @throws {TorchError} at the first call if torch lacks the operator; at any call with operator, schema and shapes
 */
export function bind<F extends AnyOperator>(qualifiedName: string): F {
  let bound: Bound | null = null;
  const call = (...args: unknown[]): unknown => {
    bound ??= resolve(qualifiedName);
    return invoke(bound, args);
  };
  return call as F;
}
