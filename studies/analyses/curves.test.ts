/** The curves of chosen answers over seeds: a value of a pair stands under that pair, whichever others a seed has recorded. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { meanInterval } from "../../src/sweep/estimates.ts";
import type { MeasuredRun } from "../../src/sweep/measured.ts";
import { curves } from "./curves.ts";

const changes = [-1, -2, -4, -8, -16];

/** A run whose only evaluation has the changes of these of the pairs. */
function runOf(seed: number, pairs: readonly number[], isOld = false): MeasuredRun {
  const record = {
    ...{ global_step: 10, pair_changes: pairs.map((i) => [changes[i], 0]), samples: [] },
    ...(isOld ? {} : { pair_rows: pairs.map((i) => [`held.jsonl:${i + 1}`, `key ${i}`]) }),
    pair_prompts: pairs.map((i) => i >> 1),
  };
  return { trial: { seed }, evaluations: [record] } as unknown as MeasuredRun;
}

/** The point and the band of the first curve. */
function drawn(runs: readonly MeasuredRun[]): readonly number[] {
  const measured = new Map([["one", { name: "one", runs, failed: [] }]]);
  const { curves: charts } = curves(measured, () => null);
  const [series] = charts?.[0]?.series ?? [];
  return [...(series?.points[0] ?? []), ...(series?.band?.[0] ?? []).slice(1)];
}

test("a seed that has no finite change of a pair moves no other pair from its place", () => {
  const expected = ([...pairs]: readonly number[], prompts: readonly number[]) => {
    const row = Float64Array.from(pairs, (i) => changes[i] ?? Number.NaN);
    const { value, low, high } = meanInterval([row, row], { draws: 300, prompts });
    return [10, value, low, high];
  };
  assert.deepEqual(
    drawn([runOf(1, [0, 1, 2, 3, 4]), runOf(2, [0, 1, 2, 3, 4])]),
    expected([0, 1, 2, 3, 4], [0, 0, 1, 1, 2]),
  );
  const seeds = [runOf(1, [0, 1, 2, 3, 4]), runOf(2, [1, 2, 3, 4])];
  assert.deepEqual(drawn(seeds), expected([1, 2, 3, 4], [0, 1, 1, 2]));
  assert.deepEqual(drawn(seeds.toReversed()), expected([1, 2, 3, 4], [0, 1, 1, 2]));
  // records of earlier versions do not say which pairs they have
  const old = [runOf(1, [0, 1, 2], true), runOf(2, [0, 1, 2], true)];
  assert.deepEqual(drawn(old), expected([0, 1, 2], [0, 0, 1]));
});
