/** Changes calls of torch's operators, to plant faults. */
import { type Handle, native } from "../../src/torch/native.ts";

/** A call of an operator: its name with the overload, its arguments, and what makes it with other ones. */
export interface Call {
  name: string;
  args: readonly unknown[];
  with(...args: readonly unknown[]): unknown;
}

/** What `body` gives while `change` makes the calls of operators. */
export function withCalls<T>(change: (call: Call) => unknown, body: () => T): T {
  const names = new Map<number, string>();
  const { call } = native;
  native.call = (id, ...args) => {
    const name = names.get(id) ?? native.describeOperator(id).schema.replace(/\(.*/s, "");
    names.set(id, name);
    return change({ name, args, with: (...changed) => call(id, ...changed) });
  };
  try {
    return body();
  } finally {
    native.call = call;
  }
}

/** The shape of a call's first argument. */
export const shapeOf = (call: Call): readonly number[] => native.shape(call.args[0] as Handle);
