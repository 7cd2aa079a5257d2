import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FormatError } from "../base/errors.ts";
import { appendEvaluation, type EvaluationRecord, readEvaluations } from "./evaluation-records.ts";
import { cutAfterStep } from "./json-lines.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-evaluations-"));
after(() => rmSync(root, { recursive: true }));

function record(step: number): EvaluationRecord {
  return {
    global_step: step,
    rejected_logps: { width: 0.5, counts: [step, 1] },
    pair_changes: [[-0.5, step]],
    samples: [{ prompt: "p\u001b[31m", answers: [{ text: "a\nb", ended: true }] }],
  };
}

test("what is appended is read again; a torn last line is left out, and what follows a step can be cut off", () => {
  const path = join(root, "a.jsonl");
  assert.deepEqual(readEvaluations(path), []);
  cutAfterStep(path, 0);
  const all = [0, 10, 20].map(record);
  for (const one of all) appendEvaluation(path, one);
  assert.deepEqual(readEvaluations(path), all);
  appendFileSync(path, '{"global_step": 30, "pair');
  assert.deepEqual(readEvaluations(path), all);
  cutAfterStep(path, 10);
  assert.deepEqual(readEvaluations(path), all.slice(0, 2));
  appendEvaluation(path, record(20));
  assert.deepEqual(readEvaluations(path), all);
  cutAfterStep(path, -1);
  assert.deepEqual(readEvaluations(path), []);
});

const damages: [string, Partial<Record<keyof EvaluationRecord, unknown>> | unknown][] = [
  ["a list", []],
  ["no step", { ...record(1), global_step: "1" }],
  ["a pair of one", { ...record(1), pair_changes: [[1]] }],
  ["text among the changes", { ...record(1), pair_changes: [[1, "2"]] }],
  ["a histogram without width", { ...record(1), rejected_logps: { counts: [] } }],
  ["an answer without text", { ...record(1), samples: [{ prompt: "p", answers: [{}] }] }],
  ["a sample that is null", { ...record(1), samples: [null] }],
];
for (const [what, value] of damages) {
  test(`refused by its line: ${what}`, () => {
    const path = join(root, "damaged.jsonl");
    writeFileSync(path, `${JSON.stringify(record(0))}\n${JSON.stringify(value)}\n`);
    assert.throws(
      () => readEvaluations(path),
      (error: unknown) => {
        assert.ok(error instanceof FormatError);
        assert.match(error.message, /damaged\.jsonl:2: expected an evaluation/);
        return true;
      },
    );
  });
}
