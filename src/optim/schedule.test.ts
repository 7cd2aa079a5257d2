/** Learning-rate factors at every step against transformers' schedules. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose } from "../../test/support/close.ts";
import { golden } from "../../test/support/goldens.ts";
import { type ScheduleOptions, scheduleFactor } from "./schedule.ts";

const { schedules } = golden<{ schedules: (ScheduleOptions & { factors: number[] })[] }>("optim");

for (const { factors, ...options } of schedules) {
  const { kind, warmupSteps, totalSteps } = options;
  test(`${kind}, ${warmupSteps} of ${totalSteps} steps warm-up`, () => {
    assert.equal(factors.length, totalSteps + 1);
    const got = factors.map((_, step) => scheduleFactor(step, options));
    assertClose(got, factors, { rtol: 1e-15, atol: 1e-16 });
  });
}

test("past the end linear and cosine stay at 0, constant at 1", () => {
  const at = (kind: ScheduleOptions["kind"]) => scheduleFactor(25, { kind, warmupSteps: 2, totalSteps: 20 });
  assert.deepEqual([at("linear"), at("cosine"), at("constant")], [0, 0, 1]);
});
