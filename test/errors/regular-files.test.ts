/** Only regular files are read: a pipe in the place of any file that a command reads is refused at once, by name. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readConfigText } from "../../src/config/given.ts";
import { readRows } from "../../src/data/sources.ts";
import { readModelConfig } from "../../src/formats/hf-config.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors.ts";
import { readTokenizerFiles } from "../../src/text/tokenizer-files.ts";

const dir = mkdtempSync(join(tmpdir(), "regular-files-"));
after(() => rmSync(dir, { recursive: true, force: true }));

function pipe(name: string): string {
  const path = join(dir, name);
  execFileSync("mkfifo", [path]);
  return path;
}

test("a pipe in place of a configuration, config.json, tokenizer, weights or data is refused at once", async () => {
  const model = join(dir, "model");
  mkdirSync(model);
  const config = pipe("model/config.json");
  pipe("model/tokenizer.json");
  const weights = pipe("model/model.safetensors");
  const rows = pipe("rows.jsonl");
  pipe("rows.parquet");
  const refused = { name: "FileError", message: /expected a file, got a named pipe/ };
  assert.throws(() => readConfigText(pipe("run.yaml")), refused);
  assert.throws(() => readModelConfig(model), refused);
  assert.throws(() => readTokenizerFiles(model), refused);
  assert.throws(() => readSafetensorsHeader(weights), refused);
  assert.throws(() => readSafetensorsHeader(config), refused);
  for (const path of [rows, join(dir, "rows.parquet")]) {
    await assert.rejects(async () => {
      for await (const _ of readRows({ path })) break;
    }, refused);
  }
});
