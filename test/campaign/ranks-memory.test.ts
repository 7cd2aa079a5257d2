/** The planner's memory of a rank against the highest measured peak of a real run's ranks, on the CPU: one run in `npm test`. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { at } from "../../src/base/at.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { plan } from "../../src/recipes/plan.ts";
import { plannedRuns, writePlannedRun } from "../plan/planned-runs.ts";
import { isNightly } from "../support/campaign.ts";
import { startProgram } from "../support/command.ts";
import { allEnded, freePort, placesOf } from "../support/rank-processes.ts";

const root = join(import.meta.dirname, "../..");
const mebibyte = 2 ** 20;
const skip = process.platform === "linux" ? false : "several ranks work on Linux only";

/** Runs `preftune train FILE` on `ranks` ranks and gives the peak resident memory of each in bytes. */
async function peaksOfTraining(file: string, dir: string, ranks: number): Promise<number[]> {
  const preload = import.meta.resolve("../plan/report-peak.ts");
  const report = (rank: number) => join(dir, `peak-${rank}`);
  const all = placesOf(ranks, await freePort()).map((place, rank) =>
    startProgram(["--import", preload, join(root, "src/cli/main.ts"), "train", file], {
      ...place,
      REPORT_PEAK: report(rank),
    }),
  );
  for (const { status, stderr } of await allEnded(all)) assert.equal(status, 0, stderr);
  return all.map((_, rank) => Number(readFileSync(report(rank), "utf8")));
}

const cases = [
  { name: "2 ranks, freed", run: 0, ranks: 2, values: { shard: "all", keep_gathered: false } },
  { name: "2 ranks, each with all", run: 0, ranks: 2, values: { shard: "none" } },
  { name: "4 ranks, kept", run: 2, ranks: 4, values: { shard: "all", keep_gathered: true } },
] as const;

for (const { name, run, ranks, values } of isNightly ? cases : cases.slice(0, 1)) {
  const planned = at(plannedRuns, run);
  test(`planned memory is within 10 % of the highest peak of its ranks: ${planned.name}, ${name}`, {
    skip,
  }, async (t) => {
    const dir = mkdtempSync(join(tmpdir(), "preftune-plan-"));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    const rows = planned.rows * ranks;
    const file = writePlannedRun(dir, { ...planned, rows, run: { ...planned.run, ...values } });
    const { memory } = await plan(loadConfig({ file }).config, { count: ranks });
    const peaks = await peaksOfTraining(file, dir, ranks);
    const inMib = (bytes: number) => `${Math.round(bytes / mebibyte)}`;
    const figures = `planned ${inMib(memory.total)} MiB, measured ${peaks.map(inMib).join(", ")}`;
    t.diagnostic(figures);
    // rank 0 writes the export and checks it
    assert.ok(Math.abs(memory.total / Math.max(...peaks) - 1) < 0.1, figures);
  });
}
