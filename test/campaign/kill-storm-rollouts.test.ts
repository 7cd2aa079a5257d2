/** A hundred kills of an on-policy run (row 4); see test/support/kill-storm.ts. */
import { test } from "node:test";
import { amount } from "../support/campaign.ts";
import { killStorm, rolloutsSubject } from "../support/kill-storm.ts";

test("an on-policy run, killed at random moments and resumed: the bytes of the run left alone", () =>
  killStorm(amount(3, 100), 6, rolloutsSubject()));
