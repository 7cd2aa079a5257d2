/** Log-probs that are not finite end a run, which names where they are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { TrainingError } from "../base/errors.ts";
import { finiteLogps } from "./finite-logps.ts";
import type { RolloutGroup } from "./rollout.ts";

const groups = [3, 8].map((line, index): RolloutGroup => {
  const completion = { ids: [1, 2], ended: true, logps: new Float32Array(2), kept: null };
  const example = { origin: { file: "p.jsonl", line }, promptIds: [1], completions: [] };
  return { index, example, completions: [completion, completion] };
});

test("finite log-probs are given back, those of no tokens too", () => {
  const logps = [
    Float32Array.of(-1, -2),
    new Float32Array(0),
    Float32Array.of(-1e30, 0),
    Float32Array.of(-1, -1),
  ];
  assert.equal(finiteLogps("policy", groups, logps), logps);
});

for (const planted of [Number.NaN, Number.NEGATIVE_INFINITY]) {
  for (const model of ["policy", "reference"] as const) {
    test(`${planted} under the ${model}: the row, the completion, the token and the model are named`, () => {
      const logps = [0, 1, 2, 3].map((i) => Float32Array.of(-1, i === 3 ? planted : -2));
      assert.throws(
        () => finiteLogps(model, groups, logps),
        (error: Error) => {
          const where = `p.jsonl:8: the log-prob of token 2 of completion 2 under the ${model} is ${planted},`;
          assert.ok(error.message.startsWith(where), error.message);
          return error instanceof TrainingError;
        },
      );
    });
  }
}
