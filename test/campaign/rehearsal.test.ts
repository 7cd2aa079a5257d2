/** The tests of test/gpu in full: more seeds, every cast left out, every step resumed from, memory that runs out in more places. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isNightly } from "../support/campaign.ts";

const root = join(import.meta.dirname, "../..");
const skip = isNightly ? false : "`npm test` runs the files of test/gpu themselves";

test("the files of test/gpu in full", { skip }, async (t) => {
  for (const file of globSync("test/gpu/*.test.ts", { cwd: root }).sort()) {
    await t.test(file, () => {
      const { status, stdout } = spawnSync(process.execPath, [...process.execArgv, join(root, file)], {
        encoding: "utf8",
        // a test file in it is one that is run by itself
        env: { ...process.env, NODE_TEST_CONTEXT: undefined },
      });
      assert.equal(status, 0, stdout);
      assert.match(stdout, /pass [1-9]/);
    });
  }
});
