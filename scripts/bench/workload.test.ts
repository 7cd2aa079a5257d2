/** Tests of workload.ts. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { generatedRows, readRows } from "./workload.ts";

test("generated rows have the stated lengths and are the same for the same seed", () => {
  const rows = generatedRows(0);
  const figures = (lengths: number[]) => ({
    count: lengths.length,
    least: Math.min(...lengths),
    most: Math.max(...lengths),
    mean: Math.round(lengths.reduce((a, b) => a + b, 0) / lengths.length),
  });
  const of = (key: "prompt_ids" | "chosen_ids" | "rejected_ids") => figures(rows.map((r) => r[key].length));
  assert.deepEqual(of("prompt_ids"), { count: 64, least: 131, most: 507, mean: 252 });
  assert.deepEqual(of("chosen_ids"), { count: 64, least: 79, most: 384, mean: 197 });
  assert.deepEqual(of("rejected_ids"), { count: 64, least: 112, most: 301, mean: 187 });
  assert.ok(rows.every((r) => r.prompt_ids.every((id) => id >= 3 && id < 32_000)));
  assert.deepEqual(generatedRows(0), rows);
  assert.notDeepEqual(generatedRows(9), rows);
});

test("a row without ids is named by file and line", () => {
  const dir = mkdtempSync(join(tmpdir(), "bench-rows-"));
  const file = join(dir, "rows.jsonl");
  writeFileSync(
    file,
    '{"prompt_ids":[5],"chosen_ids":[6],"rejected_ids":[7]}\n{"prompt":"a","chosen_ids":[6]}\n',
  );
  assert.throws(
    () => readRows(file),
    /rows\.jsonl:2: expected lists prompt_ids.*got keys prompt, chosen_ids/s,
  );
  rmSync(dir, { recursive: true });
});
