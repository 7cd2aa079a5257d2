/** The small curve of the list: what it is of, and that it is continued after a start of the dashboard. */
import assert from "node:assert/strict";
import { appendFileSync, mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { RunSummary } from "./run-summary.ts";

for (const [curve, columns] of [
  ["reward", { reward: 0.5, loss: 0.01, "eval_logps/chosen_delta_init": -0.1 }],
  ["chosen", { loss: 0.5, "eval_logps/chosen_delta_init": -0.1 }],
  ["loss", { loss: 0.5 }],
] as const) {
  test(`the small curve is of the ${curve} of a run that logs ${Object.keys(columns).join(", ")}`, () => {
    using dir = mkdtempDisposableSync(join(tmpdir(), "preftune-summary-"));
    const place = { id: "a", dir: dir.path, folder: "" };
    const summary = new RunSummary(place, null);
    const row = (step: number) => `${JSON.stringify({ global_step: step, ...columns })}\n`;
    const [value] = Object.values(columns).slice(curve === "chosen" ? 1 : 0);
    writeFileSync(summary.paths.metrics, row(1));
    summary.refresh();
    assert.equal(summary.figures.curve, null, "a point is no curve");
    appendFileSync(summary.paths.metrics, row(2));
    summary.refresh();
    assert.deepEqual([summary.figures.curve, summary.figures.points], [curve, [value, value]]);
    const later = new RunSummary(place, JSON.parse(JSON.stringify(summary.saved)));
    appendFileSync(summary.paths.metrics, row(3));
    later.refresh();
    assert.deepEqual([later.figures.curve, later.figures.points.length], [curve, 3]);
  });
}
