/** Two hundred of the thousand kills (row 4), part 5 of 5; see test/support/kill-storm.ts. */
import { test } from "node:test";
import { isNightly } from "../support/campaign.ts";
import { killStorm } from "../support/kill-storm.ts";

test(
  "killed at random moments and resumed: the bytes of the run left alone",
  {
    skip: isNightly ? false : "part 1 has the short form",
  },
  () => killStorm(200, 5),
);
