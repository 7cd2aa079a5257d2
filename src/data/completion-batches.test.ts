/** Completions cut into batches by their tokens: none is lost, and a batch has no more than it may. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { completionBatches } from "./completion-batches.ts";
import { packedTokens } from "./packing.ts";

const group = (prompt: number, ...lengths: number[]) => ({
  promptIds: new Array<number>(prompt).fill(prompt),
  completions: lengths.map((length) => new Array<number>(length).fill(length)),
});

test("many completions of one prompt are several batches, each with the prompt; a longer text is alone", () => {
  const groups = [group(10, 20, 20, 20, 20, 20), group(5), group(4, 90, 3), group(7, 8)];
  const batches = completionBatches(groups, 60, "sampled");
  const lengths = batches.map((examples) =>
    examples.map(({ promptIds, completions }) => [
      promptIds.length,
      completions.map(({ ids }) => ids.length),
    ]),
  );
  assert.deepEqual(lengths, [
    [[10, [20, 20]]],
    [[10, [20, 20]]],
    [[10, [20]]],
    [[4, [90]]],
    [
      [4, [3]],
      [7, [8]],
    ],
  ]);
  assert.deepEqual(batches[3]?.[0]?.origin, { file: "sampled", line: 3 });
  const tokens = batches.map((examples) => examples.reduce((sum, example) => sum + packedTokens(example), 0));
  assert.ok(
    tokens.every((count, i) => count <= 60 || i === 3),
    `${tokens}`,
  );
});
