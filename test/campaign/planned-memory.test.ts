/**
 * The planner's memory against the measured peak of real training runs, each a separate process, on the CPU: a run of full tuning and
 * one with all that can lie beside an adapter in `npm test`, all in the nightly run.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadConfig } from "../../src/config/load-config.ts";
import { plan } from "../../src/recipes/plan.ts";
import { computesBfloat16, usableFeatures } from "../../src/setup/hardware.ts";
import { plannedRuns } from "../plan/planned-runs.ts";
import { writePlannedRun } from "../plan/write-planned-run.ts";
import { isNightly } from "../support/campaign.ts";
import { startProgram } from "../support/command.ts";

const root = join(import.meta.dirname, "../..");
const MI_B = 2 ** 20;

// on other systems processes are counted otherwise, and memory is lost between blocks otherwise
const skip = process.platform === "linux" ? false : "resident memory is planned for Linux";

/** Runs `preftune train FILE` and gives its peak resident memory in bytes. */
async function peakOfTraining(file: string, dir: string): Promise<number> {
  const report = join(dir, "peak");
  const preload = import.meta.resolve("../plan/report-peak.ts");
  const { ended } = startProgram(["--import", preload, join(root, "src/cli/main.ts"), "train", file], {
    REPORT_PEAK: report,
  });
  const { status, stderr } = await ended;
  assert.equal(status, 0, stderr);
  return Number(readFileSync(report, "utf8"));
}

for (const run of plannedRuns) {
  const isDue = isNightly || run.isInShort === true;
  const lacks = run.run["dtype"] === "bfloat16" && !computesBfloat16(usableFeatures());
  test(`planned memory is within 10 % of the measured peak: ${run.name}`, {
    skip: skip || (isDue ? lacks && "bfloat16 takes minutes on this processor" : "in full only"),
  }, async (t) => {
    const dir = mkdtempSync(join(tmpdir(), "preftune-plan-"));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    const file = writePlannedRun(dir, run);
    const { memory } = await plan(loadConfig({ file }).config);
    const measured = await peakOfTraining(file, dir);
    const ratio = memory.total / measured;
    const figures = `planned ${Math.round(memory.total / MI_B)} MiB, measured ${Math.round(measured / MI_B)} MiB`;
    t.diagnostic(`${figures}: ${ratio.toFixed(3)}`);
    // below this the process itself decides and little is tested
    assert.ok(measured - memory.components.process > 500 * MI_B, figures);
    assert.ok(Math.abs(ratio - 1) < 0.1, figures);
  });
}
