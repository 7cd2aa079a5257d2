/** Errors that the other ranks are told of, and those that they come to by themselves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { TrainingError } from "../base/errors.ts";
import { GaveUpError } from "../base/ranks.ts";
import type { RankGroup } from "./rank-group.ts";
import { toldToAll } from "./together.ts";

test("an error of one rank ends the others; what all find by themselves is told to none, which may still be at it", () => {
  const told: unknown[] = [];
  const group = {
    name: "rank 1 (host a, pid 5)",
    fail: (error: unknown) => told.push(error),
  } as Partial<RankGroup> as RankGroup;
  const own = new TrainingError("its disk is full");
  assert.equal(toldToAll(group, own), own);
  assert.equal(own.message, "rank 1 (host a, pid 5): its disk is full");
  // a rank that was told while it looked for the rows at fault ended with status 8, a second later
  const gaveUp = new GaveUpError("3 steps in a row had a loss that is not finite");
  assert.equal(toldToAll(group, gaveUp), gaveUp);
  assert.equal(gaveUp.message, "3 steps in a row had a loss that is not finite");
  assert.deepEqual(told, [own]);
});
