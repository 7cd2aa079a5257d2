/** Tests of restarts.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Restarts } from "./restarts.ts";

const policy = { firstDelayMs: 10, maxDelayMs: 50, stableMs: 1000, maxFailedStarts: 3 };

test("waits double up to the longest; a stable time begins them anew", () => {
  const restarts = new Restarts(policy);
  const waits = [5, 5, 999, 5, 1000, 5].map((readyMs) => restarts.next(readyMs));
  assert.deepEqual(waits, [10, 20, 40, 50, 10, 20]);
});

test("starts that fail in a row are given up at the third; one that succeeds between them counts from the beginning", () => {
  const restarts = new Restarts(policy);
  assert.deepEqual(
    [null, null, 5, null, null, null].map((readyMs) => restarts.next(readyMs)),
    [10, 20, 40, 50, 50, null],
  );
  assert.equal(restarts.failedStarts, 3);
});
