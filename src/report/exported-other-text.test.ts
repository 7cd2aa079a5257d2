/** Change of other text of what a run exported: no figure of another step, scale or start stands in for it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type EndedRun, endedRun } from "../../test/support/ended-run.ts";
import type { MetricRow } from "../runs/metrics.ts";
import { openRun } from "../runs/run-directory.ts";
import { scalePath } from "../runs/scale-record.ts";
import { type ExportedOtherText, exportedOtherText } from "./exported-other-text.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-other-text-"));
after(() => rmSync(root, { recursive: true }));
const key = "displacement/other_text_change";
let count = 0;

interface Ended extends Omit<EndedRun, "evaluations"> {
  rows: MetricRow[];
  /** From which step on each of these evaluations measures it. */
  since?: Record<number, number>;
  scales?: unknown;
}

function ofRun({ since = {}, scales, ...ended }: Ended): ExportedOtherText {
  const dir = join(root, String(count++));
  const evaluations = Object.entries(since).map(([step, from]) => ({
    global_step: Number(step),
    other_text: "text",
    other_text_start: from,
  }));
  endedRun(dir, { ...ended, evaluations });
  if (scales !== undefined) writeFileSync(scalePath(dir), JSON.stringify(scales));
  return exportedOtherText(openRun(dir));
}

const best = { load_best_model_at_end: true };
const at = (step: number, loss: number, other?: number): MetricRow => ({
  ...{ global_step: step, eval_loss: loss },
  ...(other === undefined ? {} : { [`eval_${key}`]: other }),
});

test("it is that of the step which was exported, and of no other where that has none", () => {
  const rows = [at(0, 3, 0), at(10, 1, -0.1), at(20, 2, -0.2)];
  assert.deepEqual(ofRun({ rows }), { otherText: -0.2, otherTextLack: null });
  assert.equal(ofRun({ rows, values: best }).otherText, -0.1);
  // the step that the run put back, whichever is the best by its rows
  assert.equal(ofRun({ rows, values: best, end: { exported_step: 20 } }).otherText, -0.2);
  const without = ofRun({ rows: [at(0, 3, 0), at(10, 1), at(20, 2, -0.2)], values: best });
  assert.equal(without.otherText, Number.NaN);
  assert.match(
    String(without.otherTextLack),
    /^no evaluation measured it at step 10, whose weights were exp/,
  );
  // the start alone was measured
  const start = ofRun({ rows: [at(0, 3, 0)], values: { eval_strategy: "no" } });
  assert.match(String(start.otherTextLack), /at step 20, .*eval_strategy steps or epoch$/);
  const ruined = ofRun({ rows: [at(0, 3, 0), at(20, 2, Number.NaN)] });
  assert.match(String(ruined.otherTextLack), /no finite numbers/);
});

test("a change since a later step than the start is none since the start", () => {
  const rows = [at(0, 3, 0), at(10, 1, 0), at(20, 2, -0.2)];
  const { otherText, otherTextLack } = ofRun({ rows, since: { 0: 0, 10: 10, 20: 10 } });
  assert.equal(otherText, Number.NaN);
  assert.match(String(otherTextLack), /^at step 20, .* from step 10 on, not from the start/);
  assert.equal(ofRun({ rows, since: { 0: 0, 10: 0, 20: 0 } }).otherText, -0.2);
});

test("of a part of the training it is that of the scale; a record of other scales is named", () => {
  const rows = [at(0, 3, 0), at(20, 2, -0.2)];
  const row = (scale: number, figures = {}) => ({ scale, figures, answers: [] });
  const record = (...all: unknown[]) => ({ pairs: 40, other_text: null, rows: all, choice: null });
  const scales = record(row(0), row(0.4, { [key]: -0.05 }), row(1, { [key]: -0.2 }));
  assert.deepEqual(ofRun({ rows, scale: 0.4, scales }), { otherText: -0.05, otherTextLack: null });
  assert.equal(ofRun({ rows, scale: 1, scales }).otherText, -0.2);
  const other = ofRun({ rows, scale: 0.4, scales: record(row(0), row(0.5), row(1)) });
  assert.equal(other.otherText, Number.NaN);
  assert.match(
    String(other.otherTextLack),
    /scale\.json was written again, at scales 0, 0\.5, 1, and 0\.4 was exported\. Measure it: preftune scale \S+ --scales 0\.4$/,
  );
  assert.match(String(ofRun({ rows, scale: 0.4 }).otherTextLack), /scale\.json is gone/);
  const bare = ofRun({ rows, scale: 0.4, scales: record(row(0), row(0.4)) });
  assert.match(String(bare.otherTextLack), /has no other text at scale 0\.4/);
});
