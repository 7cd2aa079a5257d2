/** What a reward function gave, checked: a number or null for each completion. */

/** What is wrong with an answer of a reward function. */
export interface InvalidValues {
  problem: string;
  /** The first completion that it is wrong for; null: for all. */
  at: number | null;
}

/** The values as plain numbers and nulls, NaN and infinite ones included; or what is wrong with them. */
export function checkedValues(answer: unknown, count: number): (number | null)[] | InvalidValues {
  const values =
    ArrayBuffer.isView(answer) && !(answer instanceof DataView) ? Array.from(answer as never) : answer;
  const expected = `expected a list of ${count} numbers, one for each completion (null where there is none)`;
  if (!Array.isArray(values)) return { problem: `${expected}, got ${kindOf(answer)}`, at: null };
  if (values.length !== count) return { problem: `${expected}, got a list of ${values.length}`, at: null };
  // a list may have holes, which some() and findIndex() treat differently
  const at = Array.from(values).findIndex((value) => value !== null && typeof value !== "number");
  if (at >= 0) return { problem: `expected a number or null, got ${kindOf(values[at])}`, at };
  return values as (number | null)[];
}

function kindOf(value: unknown): string {
  if (value === undefined) return "undefined (is a return missing?)";
  if (value === null) return "null";
  if (typeof value === "string") return `the text ${JSON.stringify(value.slice(0, 40))}`;
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" || typeof value === "function"
    ? `a value of type ${typeof value}`
    : `${typeof value} ${String(value)}`;
}
