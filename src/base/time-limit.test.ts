/** Work within a limit of processor time: what a busy machine holds up is not refused, what computes without end is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { cpuMs } from "../../test/support/cpu-time.ts";
import { pass } from "../../test/support/pass-time.ts";
import { TimeLimitError, withinComputedTime } from "./time-limit.ts";

test("work that waits for longer than the limit, as on a busy machine, gives its result", () => {
  let attempts = 0;
  const work = (): number => {
    attempts++;
    pass(700);
    return 5;
  };
  assert.equal(withinComputedTime(100, work), 5);
  assert.ok(attempts > 1);
});

test("work that computes without end is stopped", () => {
  const took = cpuMs(() => {
    assert.throws(
      () => withinComputedTime(200, () => /^(a+)+$/.test(`${"a".repeat(60)}!`)),
      (error) => error instanceof TimeLimitError && error.message === "timed out after 200 ms",
    );
  });
  // an attempt on a busy machine may be followed by a long one on an idle one
  assert.ok(took >= 200 && took < 20_000, `${took} ms`);
});

test("what work throws is thrown", () => {
  assert.throws(
    () =>
      withinComputedTime(100, () => {
        throw new RangeError("mine");
      }),
    RangeError,
  );
});
