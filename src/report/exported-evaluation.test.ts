/** The evaluation of what a run exported: no other step or scale stands in for it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { endedRun } from "../../test/support/ended-run.ts";
import { type ExportedEvaluation, exportedEvaluation } from "./exported-evaluation.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-exported-evaluation-"));
after(() => rmSync(root, { recursive: true }));
let count = 0;

function ofRun(steps: readonly number[], end: Record<string, unknown>, scale?: number): ExportedEvaluation {
  const evaluations = steps.map((step) => ({ global_step: step }));
  return exportedEvaluation(endedRun(join(root, String(count++)), { evaluations, end, scale }));
}

test("it is that of the exported step, which need not be the last", () => {
  const best = ofRun([0, 10, 20], { exported_step: 10 });
  assert.deepEqual([best.exported?.global_step, best.exportedLack], [10, null]);
  assert.equal(ofRun([0, 10, 20], { exported_step: 20 }, 1).exported?.global_step, 20);
});

test("where there is none the reason is said", () => {
  const none = ofRun([0, 10], { exported_step: 20 });
  assert.equal(none.exported, null);
  assert.match(
    String(none.exportedLack),
    /^there is no evaluation at step 20, whose weights were exported\./,
  );
  const part = ofRun([0, 10, 20], { exported_step: 20 }, 0.4);
  assert.equal(part.exported, null);
  assert.match(String(part.exportedLack), /^0\.4 of the training was exported, .* final_scale 1$/);
});
