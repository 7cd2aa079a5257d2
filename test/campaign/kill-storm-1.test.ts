/** Two hundred of the thousand kills (row 4), part 1 of 5; see test/support/kill-storm.ts. */
import { test } from "node:test";
import { amount } from "../support/campaign.ts";
import { killStorm } from "../support/kill-storm.ts";

test("killed at random moments and resumed: the bytes of the run left alone", () =>
  killStorm(amount(4, 200), 1));
