/** What the study of long runs reads off their metrics: when answers went bad, by which bound, and what came before. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Measured, MeasuredRun, MetricRow } from "preftune/sweep";
import { long } from "./long.ts";

/** An evaluation. */
function evaluation(step: number, { drift = 0, tail = 0, chosen = 0, repetition = 0, ended = 1 }): MetricRow {
  return {
    global_step: step,
    "eval_displacement/token_change_mean_abs": drift,
    "eval_displacement/token_change_p01": tail,
    "eval_logps/chosen_delta_init": chosen,
    "eval_logps/rejected_delta_init": -1,
    "eval_samples/repetition": repetition,
    "eval_samples/ended_properly": ended,
  };
}

function run(seed: number, metrics: MetricRow[]): MeasuredRun {
  return { trial: { seed }, metrics: [{ global_step: 1, loss: 2 }, ...metrics] } as unknown as MeasuredRun;
}

const good = [0, 10, 20, 30].map((step) => evaluation(step, { drift: step / 1000, chosen: 0.1 }));
// drift passes its bound at 10, the tail at 20, where answers begin to loop; chosen falls by a nat at 30
const bad = [
  evaluation(0, {}),
  evaluation(10, { drift: 0.6, tail: -2, chosen: -0.2 }),
  evaluation(20, { drift: 0.7, tail: -4, chosen: -0.5, repetition: 0.25, ended: 0.6 }),
  evaluation(30, { drift: 0.9, tail: -5, chosen: -1.5, repetition: 0.4 }),
];

const measured: Measured = new Map(
  [
    { name: "SLIME balanced @ 0.0005", runs: [run(1, good), run(2, good)], failed: [] },
    // one without samples says nothing of answers
    {
      name: "SimPO @ 0.0005",
      runs: [run(1, bad), run(2, good), run(4, [])],
      failed: [{ seed: 3, reason: "its numbers are not finite" }],
    },
  ].map((condition) => [condition.name, condition]),
);

test("bad answers and what came before them are read by run", () => {
  const [courses, order, signs] = long.sections(measured, null);
  assert.deepEqual(
    order?.tables?.[0]?.rows.map((row) => row.slice(0, 8)),
    [
      ["SLIME balanced @ 0.0005", "1", "30", "–", "no", "–", "–", "–"],
      ["SLIME balanced @ 0.0005", "2", "30", "–", "no", "–", "–", "–"],
      ["SimPO @ 0.0005", "1", "30", "20", "yes", "repetition, ended_properly", "10", "20"],
      ["SimPO @ 0.0005", "2", "30", "–", "no", "–", "–", "–"],
    ],
  );
  assert.deepEqual(signs?.sentences?.slice(0, 8), [
    "Before training, in the mean: repetition 0.00, ended properly 1.00, distinct-2 –, malformed –. A share that is low already cannot fall by its bound.",
    "Answers went bad in 1 of 4 runs: SimPO @ 0.0005.",
    "At the end they are bad in 1: SimPO @ 0.0005 (1 of 2).",
    "Not counted, since they failed, which may be a collapse too, or sampled no answers: SimPO @ 0.0005, seed 3; SimPO @ 0.0005, seed 4.",
    "drift above 0.5 nats: before them in 1 of 1, at the same evaluation in 0, later or never in 0; and in 0 of the 3 whose answers stayed good.",
    "tail below −3 nats: before them in 0 of 1, at the same evaluation in 1, later or never in 0; and in 0 of the 3 whose answers stayed good.",
    "chosen answers below their start: before them in 1 of 1, at the same evaluation in 0, later or never in 0; and in 0 of the 3 whose answers stayed good.",
    "chosen answers 1 nat below their start: before them in 0 of 1, at the same evaluation in 0, later or never in 1; and in 0 of the 3 whose answers stayed good.",
  ]);
  assert.match(
    signs?.sentences?.[8] ?? "",
    /drift 1\.00, tail 1\.00, .* over 1 runs that went bad later and 3/,
  );
  const [drift] = courses?.curves ?? [];
  assert.deepEqual(drift?.series[1]?.points, [
    [0, 0],
    [10, 0.305],
    [20, 0.36],
    [30, 0.465],
  ]);
});

test("tokens whose change is no number are a warning by drift and tail", () => {
  const ruined = { ...evaluation(10, { chosen: 0.1 }), "eval_displacement/token_change_not_finite": 50 };
  const runs = [run(1, [evaluation(0, {}), ruined, ...bad.slice(2)])];
  const one: Measured = new Map([["SimPO @ 1", { name: "SimPO @ 1", runs, failed: [] }]]);
  const [row] = long.sections(one, null)[1]?.tables?.[0]?.rows ?? [];
  assert.deepEqual(row?.slice(6, 8), ["10", "10"]);
});

test("each method is compared with the default preset at its own rate", () => {
  assert.equal(long.referenceOf("SimPO @ 0.002"), "SLIME balanced @ 0.002");
  assert.equal(long.referenceOf("SLIME balanced @ 0.002"), null);
});
