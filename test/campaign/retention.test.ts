/**
 * Retention (row 9): checkpoints are written, damaged and pruned on a disk in random order. The newest that is whole, and
 * the best, are there after each pruning.
 */
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import {
  checkpointPath,
  faultOf,
  latestCheckpoint,
  pruneCheckpoints,
  writeCheckpoint,
} from "../../src/runs/checkpoints.ts";
import { amount, campaignSeed, figure } from "../support/campaign.ts";
import { scratch } from "../support/scratch.ts";

const root = mkdtempSync(join(scratch(), "preftune-retention-"));
after(() => rmSync(root, { recursive: true, force: true }));

interface Save {
  gap: number;
  /** What befalls the checkpoint before it is pruned. */
  fate: "whole" | "flipped" | "no manifest" | "damaged manifest";
  isBest: boolean;
}

const save: fc.Arbitrary<Save> = fc.record({
  gap: fc.integer({ min: 1, max: 50 }),
  fate: fc.constantFrom("whole", "whole", "whole", "flipped", "no manifest", "damaged manifest"),
  isBest: fc.boolean(),
});
const schedule = fc.tuple(
  fc.option(fc.integer({ min: 1, max: 3 })),
  fc.array(save, { minLength: 1, maxLength: 7 }),
);

function befall(path: string, fate: Save["fate"]): void {
  if (fate === "flipped") appendFileSync(join(path, "weights"), "x");
  if (fate === "no manifest") rmSync(join(path, "checkpoint.json"));
  if (fate === "damaged manifest") writeFileSync(join(path, "checkpoint.json"), '{"version":1}');
}

/** Saves one after another, pruning after each. */
async function follow(saves: readonly Save[], limit: number | null): Promise<void> {
  const dir = mkdtempSync(join(root, "run-"));
  let step = 0;
  let best: number | null = null;
  let lastWhole: number | null = null;
  for (const { gap, fate, isBest } of saves) {
    step += gap;
    const path = await writeCheckpoint(dir, step, (into) => writeFileSync(join(into, "weights"), `${step}`));
    befall(path, fate);
    if (fate === "whole") lastWhole = step;
    if (isBest && fate === "whole") best = step;
    pruneCheckpoints(dir, limit, best);
    assert.equal(latestCheckpoint(dir).checkpoint?.step ?? null, lastWhole, "the newest whole one");
    if (best !== null) assert.equal(faultOf(checkpointPath(dir, best)), null, "the best");
  }
  rmSync(dir, { recursive: true });
}

test("whatever is saved and damaged, pruning leaves the newest whole checkpoint and the best", async () => {
  const runs = amount(60, 10_000);
  let done = 0;
  const property = fc.asyncProperty(schedule, async ([limit, saves]) => {
    await follow(saves, limit);
    done += 1;
    if (done % 1000 === 0) console.log(`${done} schedules`);
  });
  await fc.assert(property, { numRuns: runs, seed: campaignSeed });
  figure(
    9,
    "checkpoints written, damaged and pruned in random order, limits of 1 to 3 and none",
    `${runs} schedules, the newest whole and the best checkpoint never removed`,
    "never removed",
    done >= runs,
  );
});
