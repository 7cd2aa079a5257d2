/** The quick budgets of the studies of the curve stay within 15 minutes of two cores, as processor time: what else runs does not count. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { isNightly } from "../support/campaign.ts";
import { shell } from "../support/command.ts";
import { scratch } from "../support/scratch.ts";

const folder = mkdtempSync(join(scratch(), "preftune-study-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const limitSeconds = 2 * 15 * 60;

/** Seconds of processor time of the ended children, from the last line that the shell's `times` prints: `1m2.5s 0m3.25s`. */
function childSeconds(printed: string): number {
  const [, ...found] =
    /(\d+)m([\d.]+)s (\d+)m([\d.]+)s\s*$/.exec(printed) ?? assert.fail(printed.slice(-200));
  const [userMinutes = 0, user = 0, systemMinutes = 0, system = 0] = found.map(Number);
  return 60 * (userMinutes + systemMinutes) + user + system;
}

for (const name of ["frontier", "geometry"]) {
  test(`study ${name}: the quick budget takes at most ${limitSeconds / 60} minutes of processor time`, {
    skip: isNightly ? false : "a nightly test: runs the whole study",
  }, async () => {
    const output = join(folder, name);
    const { stdout, stderr } = await shell(
      `node bin/preftune.mjs study ${name} --jobs 2 --output ${output}; times`,
    );
    assert.ok(existsSync(join(output, "report.html")), stderr);
    const seconds = childSeconds(stdout);
    console.log(`study ${name}: ${(seconds / 60).toFixed(1)} minutes of processor time`);
    assert.ok(seconds <= limitSeconds, `${seconds}`);
  });
}
