/**
 * Memory of ranks, on the CPU: the planner's against the highest measured peak of a real run's ranks; what loading reads of the files;
 * what checkpoints and exports take besides. In `npm test` one run, and one rank that loads.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { loadConfig } from "../../src/config/load-config.ts";
import { plan } from "../../src/recipes/plan.ts";
import { type PlannedRun, plannedRuns } from "../plan/planned-runs.ts";
import { writePlannedRun } from "../plan/write-planned-run.ts";
import { isNightly } from "../support/campaign.ts";
import { startProgram } from "../support/command.ts";
import { forgetPages, pagesOf, skipWithoutPages } from "../support/page-cache.ts";
import { allEnded, freePort, placesOf, startRankPrograms } from "../support/rank-processes.ts";
import type { Values } from "../support/runs.ts";

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

/** The planned run whose name begins so. */
function runNamed(begin: string): PlannedRun {
  return plannedRuns.find(({ name }) => name.startsWith(begin)) ?? assert.fail(`no planned run ${begin}`);
}

const big = runNamed("full, big vocabulary");
const deep = runNamed("full, recomputed, 16 layers");
const copied = runNamed("LoRA in float32 on a checkpoint in bfloat16");
const untied = { ...big, model: { ...big.model, tie_word_embeddings: false } };
const freed = { shard: "all", keep_gathered: false };
const kept = { shard: "all", keep_gathered: true };
const cases: readonly { name: string; planned: PlannedRun; ranks: number; values: Values }[] = [
  { name: "2 ranks, freed", planned: big, ranks: 2, values: freed },
  { name: "2 ranks, each with all", planned: big, ranks: 2, values: { shard: "none" } },
  { name: "2 ranks, freed, untied head", planned: untied, ranks: 2, values: freed },
  { name: "4 ranks, kept", planned: deep, ranks: 4, values: kept },
  { name: "4 ranks, kept", planned: copied, ranks: 4, values: kept },
  { name: "2 ranks, freed", planned: copied, ranks: 2, values: freed },
];

for (const { name, planned, ranks, values } of isNightly ? cases : cases.slice(0, 1)) {
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

/** The model of a planned run, in a directory that is removed after the test. */
function modelOf(t: TestContext, run: PlannedRun): string {
  const dir = mkdtempSync(join(tmpdir(), "preftune-plan-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  writePlannedRun(dir, run);
  return join(dir, "model");
}

test("a rank reads of the files what it holds, 10 % more at most", {
  skip: skip || skipWithoutPages(),
}, async (t) => {
  const base = modelOf(t, big);
  const file = join(base, "model.safetensors");
  for (const size of isNightly ? [2, 4] : [2]) {
    for (let rank = isNightly ? 0 : 1; rank < size; rank++) {
      forgetPages(file);
      const child = join(root, "test/support/loading-rank-child.ts");
      const { status, stdout, stderr } = await startProgram([child, base, `${rank}`, `${size}`]).ended;
      assert.equal(status, 0, stderr);
      const [read, share] = [pagesOf(file), Number(stdout)];
      const what = `rank ${rank} of ${size} read ${(read / mebibyte).toFixed(1)} MiB, its share is ${(share / mebibyte).toFixed(1)}`;
      t.diagnostic(what);
      assert.ok(read > 0.9 * share && read <= 1.1 * share, what);
    }
  }
});

test("checkpoint and export take no more than a unit and 64 MiB, on no rank", {
  skip: isNightly ? skip : "nightly only",
}, async (t) => {
  // 16 blocks: the whole model is more than the limit
  const base = modelOf(t, deep);
  const places = placesOf(2, await freePort());
  const ranks = startRankPrograms("memory-rank-child.ts", places, [base, join(base, "to")]);
  for (const [rank, { status, stdout, stderr }] of (await allEnded(ranks)).entries()) {
    assert.equal(status, 0, stderr);
    const { checkpoint, exported, unit, model } = JSON.parse(stdout);
    const limit = unit + 64 * mebibyte;
    assert.ok(limit < model);
    for (const [what, { ofTorch, resident }] of Object.entries({ checkpoint, exported }) as [
      string,
      Record<"ofTorch" | "resident", number>,
    ][]) {
      const figures = `rank ${rank}, ${what}: ${[ofTorch, resident, unit, model].map((bytes) => (bytes / mebibyte).toFixed(1)).join(", ")} MiB`;
      t.diagnostic(`${figures} of torch, of the process, of the largest unit, of the model in float32`);
      assert.ok(Math.max(ofTorch, resident) <= limit, figures);
    }
  }
});
