import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { sealed } from "../base/sealed.ts";
import { loadConfig } from "../config/load-config.ts";
import { hubBase, hubDataSets } from "./lineage.ts";

test("the base model that a run pinned, and the data sets of the hub that it read", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "preftune-lineage-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const config = (name: string) =>
    loadConfig({ values: { model_name_or_path: name, train_data: "a.jsonl", output_dir: dir } }).config;
  assert.equal(hubBase({ dir }, config("models/base")), null);
  const commit = "a".repeat(40);
  writeFileSync(
    join(dir, "models.json"),
    sealed(JSON.stringify({ model_name_or_path: `hub:o/n@${commit}` })),
  );
  assert.deepEqual(hubBase({ dir }, config("o/n")), { name: "o/n", commit });
  const data = {
    "/home/me/rows.jsonl": "1",
    "hub:a/b/data/x.parquet": "2",
    "hub:a/b/data/y.parquet": "3",
    rows: "4",
  };
  assert.deepEqual(hubDataSets({ data }), ["a/b"]);
  assert.deepEqual(hubDataSets(null), []);
});
