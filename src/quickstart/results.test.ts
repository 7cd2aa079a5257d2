import assert from "node:assert/strict";
import { test } from "node:test";
import { textTable } from "../terminal/text-table.ts";
import type { Measurement } from "./measure.ts";
import { answerLines, resultTable } from "./results.ts";
import type { StageResult } from "./stage.ts";
import { changeSince, type MethodMetrics, metricsOf, percent, sentences } from "./stage-metrics.ts";

const right = ["1. A\nEnd of list.", "1. B\nEnd of list."];
const sft: Measurement = {
  chosen: [-1, -2],
  rejected: [-1.5, -1],
  answers: [
    { pair: 0, ids: [1, 2, 3], text: "1. A\nEnd of list.", stopId: 2 },
    { pair: 0, ids: [1, 2], text: "1. X\nEnd of list.", stopId: 2 },
    { pair: 1, ids: [4], text: "1. B\nEnd of list.", stopId: null },
    { pair: 1, ids: [5, 6], text: "B.", stopId: 2 },
  ],
};
const result: StageResult = {
  measurement: sft,
  rewardAccuracy: null,
  steps: 10,
  trainSeconds: 12.34,
  seconds: 15,
  peakBytes: 300 * 2 ** 20,
};

test("metrics are counted from the measurement", () => {
  const metrics = metricsOf("SFT", result, null, right);
  assert.deepEqual(metrics, {
    name: "SFT",
    accuracy: 0.5,
    rewardAccuracy: null,
    change: null,
    answers: 4,
    // bigrams: 12 23, 12, -, 56: three of four are distinct
    distinct2: 0.75,
    ended: 0.75,
    // of the four, the third was cut and the fourth has no numbers
    rightForm: 0.5,
    right: 0.25,
    seconds: 12.34,
    peakBytes: 300 * 2 ** 20,
    steps: 10,
  });
});

test("changes are taken pair by pair", () => {
  const now: Measurement = { chosen: [-1.5, -1.75], rejected: [-3, -1.5], answers: [] };
  // chosen -0.5, +0.25; rejected -1.5, -0.5: the first fell and its margin grew
  assert.deepEqual(changeSince(sft, now), {
    chosen: -0.125,
    rejected: -1,
    chosenDown: 0.5,
    marginUpOfDown: 1,
  });
  assert.deepEqual(changeSince(sft, sft), {
    chosen: 0,
    rejected: 0,
    chosenDown: 0,
    marginUpOfDown: Number.NaN,
  });
});

const base: MethodMetrics = metricsOf("SFT", result, null, right);
const dpo: MethodMetrics = {
  ...base,
  name: "DPO",
  rewardAccuracy: 0.9,
  right: 0.5,
  change: { chosen: -0.0714, rejected: -1.25, chosenDown: 0.4, marginUpOfDown: 0.975 },
};
const slime: MethodMetrics = {
  ...dpo,
  name: "SLIME",
  rewardAccuracy: 0.5,
  change: { chosen: 0.2, rejected: 0.1, chosenDown: 0, marginUpOfDown: Number.NaN },
};

test("sentences say what the numbers say", () => {
  assert.deepEqual(sentences(base, [dpo, slime], 160), [
    "DPO: chosen answers lost likelihood in 40 % of the pairs, the margin growing in 98 % of these.",
    "SLIME: chosen answers lost likelihood in 0 % of the pairs.",
    "Right answers among 4 samples of each: SFT 25 %, DPO 50 %, SLIME 50 %.",
    "By DPO's own reward, its accuracy is 90 %.",
    "With 160 pairs, shares less than about 11 points apart can be chance; training varies on top.",
  ]);
});

test("the table has a column a metric and stays within 100 characters", () => {
  const widest = {
    ...dpo,
    name: "SimPO",
    accuracy: 1,
    ended: 0.997,
    rightForm: 0.001,
    right: 0.999,
    seconds: 12345,
  };
  const lines = resultTable([base, { ...widest, peakBytes: 9999 * 2 ** 20 }]).split("\n");
  assert.ok(Math.max(...lines.map((line) => line.length)) <= 100, lines.join("\n"));
  assert.deepEqual(lines.at(-2)?.trim().split(/ {2,}/), [
    ..."SFT,50 %,–,–,–,0.750,75 %,50 %,25 %,12 s,300 MiB".split(","),
  ]);
  assert.deepEqual(lines.at(-1)?.trim().split(/ {2,}/).slice(0, 5), [
    "SimPO",
    "100 %",
    "−0.071",
    "−1.250",
    "40 %",
  ]);
});

test("a table is aligned, its headings stand at the bottom of theirs", () => {
  assert.equal(
    textTable(
      ["", "long\nname", "n"],
      [
        ["a", "1", "22"],
        ["bcd", "333", ""],
      ],
    ),
    ["     long", "     name   n", "─────────────", "a       1  22", "bcd   333"].join("\n"),
  );
});

test("shares are whole per cent, unless that would claim all or nothing", () => {
  assert.deepEqual([0, 0.004, 0.5, 0.997, 1, Number.NaN].map(percent), [
    "0 %",
    "0.4 %",
    "50 %",
    "99.7 %",
    "100 %",
    "–",
  ]);
});

test("what a model wrote cannot steer the terminal, and long lines are cut", () => {
  const lines = answerLines("Who?", [
    { name: "DPO", text: "1. A\n\u001b[2J\u202eB" },
    { name: "SLIME", text: "x".repeat(200) },
  ]).split("\n");
  assert.deepEqual(lines.slice(0, 2), ["Asked: Who?", "  DPO    1. A / ·[2J·B"]);
  assert.equal(lines[2]?.length, 100);
  assert.ok(lines[2]?.endsWith("x…"));
});
