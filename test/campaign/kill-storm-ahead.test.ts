/** Kills of an on-policy run whose rollouts another process samples; see test/support/kill-storm.ts. */
import { test } from "node:test";
import { amount } from "../support/campaign.ts";
import { killStorm, rolloutsSubject } from "../support/kill-storm.ts";

test("a run that samples ahead, killed at random moments and resumed: the bytes of the run left alone", () =>
  killStorm(amount(2, 100), 8, rolloutsSubject(2)));
