/** Row 5: every system call of a study fails in turn, part 1 of 6. */
import { test } from "node:test";
import { failStudy } from "../support/faults-study.ts";

test("a failure in a study is reported, and tables are the former or the new, part 1", () => failStudy(1));
