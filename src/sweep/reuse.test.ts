/** When a finished run stands for another: by what it trains on, not by where that lies. */
import assert from "node:assert/strict";
import { copyFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { runFixture, type Values } from "../../test/support/runs.ts";
import { pairRows, writeRows } from "../../test/support/tiny-model.ts";
import { loadConfig } from "../config/load-config.ts";
import { contentKey } from "./reuse.ts";

test("rows are known by their content; held-out ones by their path too", () => {
  using place = runFixture({ rows: 8, held: 4 });
  const key = (changes: Values = {}, extra: string | null = null): string =>
    contentKey(loadConfig({ values: { ...place.values, output_dir: "o", ...changes } }).config, extra);
  const copy = (name: "train_data" | "eval_data"): string => {
    const to = place.path(`copied-${name}.jsonl`);
    copyFileSync(String(place.values[name]), to);
    return to;
  };
  const own = key();
  assert.equal(key({ train_data: copy("train_data"), output_dir: "elsewhere" }), own);
  assert.notEqual(key({ eval_data: copy("eval_data") }), own);
  assert.notEqual(key({ learning_rate: 1e-3 }), own);
  assert.notEqual(key({}, "scales"), own);
  assert.equal(
    key({ drift_data: copy("train_data") }),
    key({ drift_data: String(place.values["train_data"]) }),
  );
  writeRows(String(place.values["train_data"]), pairRows(9));
  const edited = key();
  assert.notEqual(edited, own);
  writeFileSync(String(place.values["eval_data"]), "{}\n");
  assert.notEqual(key(), edited);
});
