/** Elementary effects where runs failed: what is known is said of the others. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeasuredCondition, MeasuredRun } from "../../src/sweep/measured.ts";
import { SLIME_RANGES } from "../slime-ranges.ts";
import { sensitivity } from "./sensitivity.ts";

/** The study's runs, each with a pair whose chosen answer rose by δ; those of which `hasFailed` is true have none. */
function sectionOf(hasFailed: (name: string) => boolean) {
  const conditions = sensitivity.conditions({ budget: "quick" } as Parameters<
    typeof sensitivity.conditions
  >[0]);
  const measured = conditions.map(({ name, changes }): [string, MeasuredCondition] => {
    const pair = (chosen: number) => ({ file: "held", line: 1, chosen: [chosen], rejected: [-1] });
    const before = [pair(-1)];
    const run = { before, after: [pair(-1 + Number(changes["delta"]))], trial: { seed: 1 } };
    return [name, { name, failed: [], runs: hasFailed(name) ? [] : [run as unknown as MeasuredRun] }];
  });
  const [section] = sensitivity.sections(new Map(measured), null);
  assert.ok(section !== undefined);
  return section;
}

test("a failed run leaves its own effects out, and the factors stand in the order of the others", () => {
  const { rows = [], sentences = [] } = sectionOf((name) => name === "point 2");
  const sizes = rows.filter(({ metric }) => metric === "morris_size_chosen_change");
  const counts = sizes.map(({ interval }) => interval.pairs);
  assert.deepEqual(counts.toSorted(), [5, 5, 6, 6, 6, 6, 6]);
  const { min, max } = SLIME_RANGES.delta;
  for (const { condition, interval } of sizes) {
    const wanted = condition === "delta" ? max - min : 0;
    assert.ok(Math.abs(interval.value - wanted) < 1e-4, `${condition} ${interval.value}`);
  }
  assert.match(sentences[0] ?? "", /most depends on delta \(/);
});

test("where all runs failed no factor is named", () => {
  assert.match(sectionOf(() => true).sentences?.[0] ?? "", /: no effect is known/);
});
