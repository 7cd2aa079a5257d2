/** Comparisons of numbers with a stated tolerance, and the check that a test leaves no tensors behind. */
import assert from "node:assert/strict";
import { liveTensorCount, scope, type Tensor } from "../../src/torch/index.ts";

/** Tolerances: |got − want| ≤ atol + rtol·|want|. */
export interface Tolerance {
  atol?: number;
  rtol?: number;
}

/** Asserts that numbers agree elementwise; the message names the first that does not and the largest difference. */
export function assertClose(
  got: number | readonly number[] | Tensor,
  want: number | readonly number[],
  { atol = 0, rtol = 0 }: Tolerance,
): void {
  const actual = typeof got === "number" ? [got] : "toNumbers" in got ? got.toNumbers() : got;
  const expected = typeof want === "number" ? [want] : want;
  assert.equal(actual.length, expected.length, "number of elements");
  let worst = 0;
  let first = -1;
  expected.forEach((value, i) => {
    const difference = Math.abs((actual[i] as number) - value);
    if (!(difference <= atol + rtol * Math.abs(value)) && first < 0) first = i;
    worst = Math.max(worst, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
  });
  if (first >= 0) {
    assert.fail(
      `element ${first}: got ${actual[first]}, want ${expected[first]} (atol ${atol}, rtol ${rtol}; largest difference ${worst})`,
    );
  }
}

/** Runs `body` in a scope and asserts that it leaves no live tensor behind, exceptions included. */
export function withoutLeaks<T>(body: () => T): T {
  const before = liveTensorCount();
  let result: T;
  {
    using _ = scope();
    result = body();
  }
  assert.equal(liveTensorCount(), before, "live tensors after the test");
  return result;
}
