/** The sum of several rewards where some have none to give. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type FunctionScores, totalRewards, type Unscored } from "./scored-completions.ts";

function scores(
  name: string,
  values: FunctionScores["values"],
  reasons: readonly Unscored["reason"][] = [],
): FunctionScores {
  const missing = values.flatMap((value, completion) => (value === null ? [completion] : []));
  const unscored = missing.map((completion, i) => ({
    completion,
    reason: reasons[i] ?? ("null" as const),
    message: "",
  }));
  return { name, values, unscored, seconds: 0 };
}

test("a function without a score is left out of the sum, as TRL does; one that failed leaves it unknown", () => {
  const functions = [
    scores("style", [1, 2, 3, 4, null]),
    scores("right", [10, null, null, null, null], ["null", "error", "timeout", "null"]),
    scores("watched", [null, 5, 5, 5, null], ["not_finite", "null"]),
  ];
  // torch.nansum over the functions: 0.5 + 20, 1 + 0, …
  assert.deepEqual(totalRewards({ functions }, [0.5, 2, 0]), [20.5, 1, Number.NaN, Number.NaN, Number.NaN]);
  assert.deepEqual(totalRewards({ functions }, [0.5, 0, 1]), [Number.NaN, 6, 6.5, 7, Number.NaN]);
});
