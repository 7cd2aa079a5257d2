/** Files that are given as a configuration. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readConfigText } from "./given.ts";

test("rows in place of a configuration are told apart from YAML that is wrong", () => {
  const dir = mkdtempSync(join(tmpdir(), "preftune-rows-"));
  after(() => rmSync(dir, { recursive: true }));
  for (const name of ["pairs.jsonl", "pairs.csv", "pairs.JSONL.gz", "pairs.parquet"]) {
    const file = join(dir, name);
    writeFileSync(file, '{"prompt": "a", "chosen": "b", "rejected": "c"}\n');
    assert.throws(
      () => readConfigText(file),
      /: expected a configuration, a YAML file, got a file of rows\. Name it there as train_data; `preftune init`/,
    );
  }
});
