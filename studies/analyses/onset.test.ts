/** Signs and bad answers in runs whose order of events is known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Course, earlySign, firstStep, type Reading, warningsOf } from "./onset.ts";

/** A run of evaluations at steps 0, 10, 20 …: drift at each, and from which on answers are bad. */
function course(drift: readonly number[], badFrom = Number.POSITIVE_INFINITY): Course {
  return drift.map(
    (value, i): Reading => ({
      ...{ step: 10 * i, drift: value, tail: 0, chosen: 0, margin: 0 },
      isBad: i >= badFrom,
    }),
  );
}

const of = ({ drift }: Reading): number => drift;

test("a sign warns before, with or after bad answers, falsely, or rightly not", () => {
  const courses = [
    course([0, 1, 3, 4], 3),
    course([0, 1, 1, 4], 3),
    course([0, 1, 1, 1], 2),
    course([0, 1, 2, 4], 1),
    course([0, 3, 0, 0]),
    course([0, 2, 2, 2]),
    course([0, Number.NaN, 0, 0], 2),
  ];
  assert.deepEqual(warningsOf(courses, { of, bound: 2 }), {
    before: 2,
    together: 1,
    after: 2,
    falsely: 1,
    silent: 1,
  });
  assert.equal(
    firstStep(courses[0] ?? [], ({ isBad }) => isBad),
    30,
  );
  assert.equal(
    firstStep(courses[4] ?? [], ({ isBad }) => isBad),
    null,
  );
});

test("an early sign is read once, of runs that are good till then", () => {
  const courses = [
    course([0, 0, 5, 9, 9, 9, 9], 5),
    course([0, 0, 2, 9, 9, 9, 9], 3),
    course([0, 0, 2, 9, 9, 9, 9]),
    course([0, 9, 1, 0, 0, 0, 0]),
    // bad when it is read: it tells nothing
    course([0, 9, 99, 9, 9, 9, 9], 2),
  ];
  // 5 and 2 against 2 and 1: three wins and a tie of four
  assert.deepEqual(earlySign(courses, of, 1 / 3), { bad: 2, good: 2, auc: 3.5 / 4 });
  const unknown = course([0, 0, Number.NaN, 9, 9, 9, 9], 5);
  assert.deepEqual(earlySign([unknown, ...courses.slice(2)], of, 1 / 3), { bad: 1, good: 2, auc: 1 });
  assert.deepEqual(earlySign([course([0, 1, 2])], of, 1 / 3), { bad: 0, good: 1, auc: Number.NaN });
});
