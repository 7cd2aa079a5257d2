import assert from "node:assert/strict";
import { test } from "node:test";
import { at } from "../../src/base/at.ts";
import { PromptOrder } from "../../src/online/prompt-order.ts";
import { inOrderOfRun, onlineFigures, onlinePrompts, onlineTable } from "./online-record.ts";

const form = { method: "grpo", promptsAStep: 2, group: 8, newTokens: 64 } as const;
const record = {
  ...{
    seconds: [9, 4, 2],
    cpuSeconds: [9, 8, 4],
    samplingSeconds: [1, 1, 1],
    scoringSeconds: [1, 0.5, 0.25],
  },
  ...{ tokens: [1, 100, 200], rewards: [0.1, 0.2, 0.5], heldOut: null, peakMb: 900, bareMb: 200 },
};

test("a run takes the rows in the order of the list", () => {
  const rows = Array.from({ length: 64 }, (_, i) => i);
  const placed = inOrderOfRun(rows, 0);
  assert.notDeepEqual(placed, rows);
  const taken = new PromptOrder(64, { data_order: "shuffled", seed: 0 })
    .take(0, 64)
    .map((place) => at(placed, place));
  assert.deepEqual(taken, rows);
});

test("rates, fractions and memory leave out the first step; the table says how much faster ours is", () => {
  const ours = onlineFigures("ours", form, [record]);
  assert.deepEqual(ours.samplesPerSecond, { min: 4, median: 6, max: 8 });
  assert.deepEqual(ours.samplesPerCpuSecond, { min: 2, median: 3, max: 4 });
  assert.deepEqual(ours.tokensPerSecond, { min: 100, median: 150, max: 200 });
  assert.deepEqual(
    [ours.sampling, ours.scoring, ours.reward, ours.memoryMb.median],
    [2 / 6, 0.75 / 6, 0.5, 700],
  );
  const slow = { ...record, seconds: [9, 8, 4], cpuSeconds: [9, 24, 12], peakMb: 1600 };
  const table = onlineTable([ours, onlineFigures("TRL", form, [slow])]);
  assert.match(table, /against TRL: 2\.00× samples\/s, 3\.00× by processor time, 0\.50× memory$/);
});

test("a reward is of the last eighth of the steps; all steps and the held-out rewards of each round are told", () => {
  const long = (heldOut: number) => ({
    ...record,
    ...{ rewards: [...Array(14).fill(0), 0.25, 0.75], cpuSeconds: Array(16).fill(0.5), heldOut },
    ...{ seconds: Array(16).fill(1) },
  });
  const ours = onlineFigures("ours", form, [long(0.5), long(0.75), long(0.625)]);
  assert.equal(ours.reward, 0.5);
  assert.deepEqual(ours.allCpuSeconds, { min: 8, median: 8, max: 8 });
  assert.match(
    onlineTable([ours]),
    /\nours, held-out reward at the end: 0\.500, 0\.750, 0\.625; median 0\.625$/,
  );
});

test("prompts are letters, as many as the rows of the other benchmark have tokens", () => {
  const prompts = onlinePrompts();
  assert.deepEqual(prompts, onlinePrompts());
  assert.ok(prompts.every((prompt) => /^[a-z]{131,507}$/.test(prompt)));
});
