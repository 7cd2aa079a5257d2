/** Tests of generate-record.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type GenerationRecord, generationFigures, generationTable, promptsOf } from "./generate-record.ts";

const one = (seconds: number, cpu: number, ids: number[][]): GenerationRecord => ({
  runs: [{ batch: 2, seconds, cpu, ids }],
});

test("quickest rounds, ratios of each round, and the tokens before an answer differs", () => {
  const ours = [
    one(2, 4, [
      [1, 2, 3, 4],
      [5, 6, 7, 8],
    ]),
    one(1, 5, []),
  ];
  const theirs = [
    one(3, 8, [
      [1, 2, 9, 4],
      [5, 6, 7, 8],
    ]),
    one(4, 6, []),
  ];
  const [figures] = generationFigures(ours, theirs);
  assert.deepEqual(figures, {
    batch: 2,
    ours: 8,
    theirs: 8 / 3,
    ratios: [1.5, 4],
    cpuRatio: 1.5,
    agreement: 6 / 8,
  });
  const last = generationTable(generationFigures(ours, theirs), "transformers").split("\n").at(-1) ?? "";
  assert.deepEqual(last.split(/ {2,}/), ["2", "8.00", "2.67", "3.00x", "1.50, 4.00", "1.50x", "75.0 %"]);
});

test("prompts are the same each time, of the length asked for, and without special tokens", () => {
  const plan = {
    modelDir: "-",
    vocabulary: 10,
    batches: [4],
    promptTokens: 30,
    newTokens: 1,
    threads: 1,
  };
  const prompts = promptsOf(plan, 4);
  assert.deepEqual(promptsOf(plan, 4), prompts);
  assert.deepEqual(
    prompts.map((ids) => ids.length),
    [30, 30, 30, 30],
  );
  assert.ok(prompts.flat().every((id) => id >= 3 && id < 10));
  assert.notDeepEqual(prompts[0], prompts[1]);
});
