/** The evaluation of what a run exported: no other step or scale stands in for it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadConfig } from "../config/load-config.ts";
import { appendEvaluation } from "../runs/evaluation-records.ts";
import { createRun, openRun } from "../runs/run-directory.ts";
import { type ExportedEvaluation, exportedEvaluation } from "./exported-evaluation.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-exported-evaluation-"));
after(() => rmSync(root, { recursive: true }));
let count = 0;

function ofRun(steps: readonly number[], end: Record<string, unknown>, scale?: number): ExportedEvaluation {
  const dir = join(root, String(count++));
  const data = { model_name_or_path: "m", train_data: "a.jsonl", eval_data: "b.jsonl", output_dir: dir };
  const run = createRun(loadConfig({ values: data }));
  for (const globalStep of steps) {
    appendEvaluation(run.paths.evaluations, {
      global_step: globalStep,
      rejected_logps: null,
      pair_changes: [],
      samples: [],
    });
  }
  run.log("start", { step: 0, total_steps: 30 });
  run.log("done", { step: 20, exported: ["adapter"], ...end });
  if (scale !== undefined) writeFileSync(run.paths.exportJson, JSON.stringify([{ scale }]));
  run.release();
  return exportedEvaluation(openRun(dir));
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
