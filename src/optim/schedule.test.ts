/** Learning-rate factors at every step against transformers' schedules. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose } from "../../test/support/close.ts";
import { golden } from "../../test/support/goldens.ts";
import { type ScheduleKind, scheduleFactor } from "./schedule.ts";

/** A schedule as transformers has it, and its factors. */
interface Golden {
  kind: ScheduleKind;
  warmupSteps: number;
  totalSteps: number;
  factors: number[];
}

const { schedules } = golden<{ schedules: Golden[] }>("optim");

for (const { factors, kind, warmupSteps, totalSteps } of schedules) {
  const options = { lr_scheduler_type: kind, warmup_steps: warmupSteps, totalSteps };
  test(`${kind}, ${warmupSteps} of ${totalSteps} steps warm-up`, () => {
    assert.equal(factors.length, totalSteps + 1);
    const got = factors.map((_, step) => scheduleFactor(step, options));
    assertClose(got, factors, { rtol: 1e-15, atol: 1e-16 });
  });
}

test("past the end linear and cosine stay at 0, the constant ones at 1", () => {
  const at = (kind: ScheduleKind) =>
    scheduleFactor(25, { lr_scheduler_type: kind, warmup_steps: 2, totalSteps: 20 });
  const kinds = ["linear", "cosine", "constant", "constant_with_warmup"] as const;
  assert.deepEqual(kinds.map(at), [0, 0, 1, 1]);
});
