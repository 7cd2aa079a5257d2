/** Rounds in several forms of the weights: speeds by processor time, ratios within a round, the change of log-probs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { GenerationRecord } from "./generate-record.ts";
import { formFigures, formTable } from "./weight-figures.ts";

const round = (cpu: number, ids: number[], logprobs?: number[]): GenerationRecord => ({
  runs: [{ batch: 1, seconds: 99, cpu, ids: [ids] }],
  ...(logprobs && { logprobs }),
});

test("each round's speed over the first form's of the same round, and log-probs of the same text", () => {
  const records = new Map([
    ["float32", [round(2, [1, 2, 3, 4]), round(4, [1, 2, 3, 4], [-1, -2])]],
    ["int8", [round(1, [1, 2, 9, 4], [-1.5, -2]), round(1, [1, 2, 9, 4], [-1.5, -2])]],
  ] as const);
  const [first, second] = formFigures({ batches: [1] }, records);
  assert.deepEqual(first?.ratios, [1, 1]);
  assert.deepEqual(second, {
    form: "int8",
    batch: 1,
    speeds: [4, 4],
    ratios: [2, 4],
    agreement: 0.5,
    change: { mean: 0.25, most: 0.5 },
  });
  const last = formTable([second]).split("\n").at(-1) ?? "";
  assert.match(
    last,
    /^1 +int8 +4\.00 \/ 4\.00 \/ 4\.00 +2\.00 \/ 3\.00 \/ 4\.00 +50\.0 % +0\.2500, 0\.5000$/,
  );
});
