/** What is known about one configuration key: type, default, meaning, and where the default comes from. */
import type { MethodName } from "../methods/index.ts";
import type { ValueType } from "./value-types.ts";

/** One key of the configuration. With neither `default` nor `rule` the key must be given. */
export interface Field<T> {
  type: ValueType<T>;
  default?: T;
  /** How the value follows from other values when it is not given. */
  rule?: string;
  /** What the value does, with its unit. */
  doc: string;
  /** Who else has this default, or why it is what it is. */
  source: string;
  /** Objectives that use the key; absent: all. */
  objectives?: readonly MethodName[];
  /** True when a resumed run may change it without changing what is computed (but for rounding). */
  freeOnResume?: boolean;
}

/** A field for every key of `Keys`. */
export type FieldTable<Keys> = { readonly [K in keyof Keys]-?: Field<Keys[K]> };
