/** Row 5: every system call of a study fails in turn, part 5 of 6. */
import { test } from "node:test";
import { isNightly } from "../support/campaign.ts";
import { failStudy } from "../support/faults-study.ts";

test(
  "a failure in a study is reported, and tables are the former or the new, part 5",
  { skip: isNightly ? false : "part 1 has the short form" },
  () => failStudy(5),
);
