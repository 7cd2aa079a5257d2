/** What a run keeps of the files that its rows come from. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { sha256 } from "../base/files.ts";
import { loadConfig } from "../config/load-config.ts";
import { dataFilesOf } from "./data-files.ts";

test("a digest for each file by its key and name; files of one name by their path below the folder that holds them", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "preftune-files-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const write = (path: string, text: string) => writeFileSync(join(dir, path), text);
  for (const folder of ["one", "two"]) {
    mkdirSync(join(dir, folder));
    write(`${folder}/rows.jsonl`, folder);
    write(`${folder}/${folder}.jsonl`, folder);
  }
  write("held.jsonl", "held");
  const values = {
    ...{ model_name_or_path: "m", output_dir: join(dir, "run"), drift_data: join(dir, "held.jsonl") },
    eval_data: join(dir, "held.jsonl"),
    train_data: [join(dir, "held.jsonl"), join(dir, "*", "rows.jsonl"), join(dir, "*", "{one,two}.jsonl")],
  };
  const { config } = loadConfig({ values });
  assert.deepEqual(await dataFilesOf(config), {
    "train_data[0]/held.jsonl": sha256("held"),
    "train_data[1]/one/rows.jsonl": sha256("one"),
    "train_data[1]/two/rows.jsonl": sha256("two"),
    "train_data[2]/one.jsonl": sha256("one"),
    "train_data[2]/two.jsonl": sha256("two"),
    "eval_data[0]/held.jsonl": sha256("held"),
    "drift_data[0]/held.jsonl": sha256("held"),
  });
});
