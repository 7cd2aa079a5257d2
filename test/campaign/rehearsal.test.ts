/**
 * The tests of test/gpu in full: more seeds, every cast left out, every step resumed from, memory that runs out in more places. On the
 * rehearsal device, and where there is a GPU on that one too: only the former counts, and finds planted faults.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { devices } from "../../src/torch/index.ts";
import { isNightly } from "../support/campaign.ts";

const root = join(import.meta.dirname, "../..");
const skip = isNightly ? false : "`npm test` runs the files of test/gpu themselves";

test("the files of test/gpu in full", { skip }, async (t) => {
  const cuda = devices().find((name) => name.startsWith("cuda"));
  for (const file of globSync("test/gpu/*.test.ts", { cwd: root }).sort()) {
    for (const device of cuda === undefined ? ["rehearsal"] : ["rehearsal", cuda]) {
      await t.test(`${file} on ${device}`, () => {
        const { status, stdout } = spawnSync(process.execPath, [...process.execArgv, join(root, file)], {
          encoding: "utf8",
          // a test file in it is one that is run by itself
          env: { ...process.env, NODE_TEST_CONTEXT: undefined, PREFTUNE_GPU_TESTS: device },
        });
        assert.equal(status, 0, stdout);
        // on a GPU a file may have nothing to run
        if (device === "rehearsal") assert.match(stdout, /pass [1-9]/);
      });
    }
  }
});
