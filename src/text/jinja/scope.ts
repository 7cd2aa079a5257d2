/** Names and their values, in blocks inside blocks. */
import { Undefined, type Value } from "./values.ts";

/** Names of a block; names it does not have are those of the block around it. */
export class BlockScope {
  readonly #values: Map<string, Value>;
  readonly #outer: BlockScope | null;

  constructor(outer: BlockScope | null, values: Map<string, Value> = new Map()) {
    this.#outer = outer;
    this.#values = values;
  }

  /** The value of `name`, undefined in Jinja's sense where no block has it. */
  get(name: string): Value {
    for (let scope: BlockScope | null = this; scope !== null; scope = scope.#outer) {
      const value = scope.#values.get(name);
      if (value !== undefined) return value;
    }
    return undefinedName(name);
  }

  set(name: string, value: Value): void {
    this.#values.set(name, value);
  }

  /** The name has no value here, whatever the blocks around have. */
  unset(name: string): void {
    this.set(name, undefinedName(name));
  }
}

function undefinedName(name: string): Undefined {
  return new Undefined(`'${name}' is undefined`);
}
