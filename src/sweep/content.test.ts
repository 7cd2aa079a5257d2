/** When a finished run stands for another: by what it trains on, not by where that lies. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runFixture, type Values } from "../../test/support/runs.ts";
import { makeTinyAdapter, pairRows, writeRows } from "../../test/support/tiny-model.ts";
import { temporaryDirectory } from "../../test/support/tiny-models.ts";
import { loadConfig } from "../config/load-config.ts";
import { contentKey, contentOf } from "./content.ts";

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
  const path = place.values["train_data"];
  assert.notEqual(key({ train_data: [{ path, weight: 1 }] }), own, "an even draw is no training on all rows");
  assert.notEqual(key({ train_data: [{ path, weight: 2 }] }), own);
  writeRows(String(place.values["train_data"]), pairRows(9));
  const edited = key();
  assert.notEqual(edited, own);
  writeFileSync(String(place.values["eval_data"]), "{}\n");
  assert.notEqual(key(), edited);
});

/** What changes the file. */
type Edit = (path: string) => void;

test("a model, an adapter, a directory of rows and whatever else a run reads are known by what is in them", () => {
  using place = runFixture({ rows: 8, held: 4 });
  const model = String(place.values["model_name_or_path"]);
  const adapter = makeTinyAdapter(place.path("adapter"), model);
  const dir = place.path("rows");
  mkdirSync(dir);
  writeRows(join(dir, "a.jsonl"), pairRows(8));
  for (const name of ["template.jinja", "prompts.txt", "reward.mjs"]) writeFileSync(place.path(name), "x\n");
  const flipped: Edit = (path) => {
    const bytes = readFileSync(path);
    bytes.writeUInt8((bytes.at(-1) ?? 0) ^ 1, bytes.length - 1);
    writeFileSync(path, bytes);
  };
  const longer: Edit = (path) => appendFileSync(path, "\n");
  const glob = place.path("rows/*.jsonl");
  const online: Values = { objective: "grpo", reward_funcs: [place.path("reward.mjs")] };
  const cases: [values: Values, file: string, edit: Edit][] = [
    [{}, join(model, "model.safetensors"), flipped],
    [{}, join(model, "config.json"), longer],
    [{}, join(model, "tokenizer.json"), longer],
    [{ use_peft: true, adapter_name_or_path: adapter }, join(adapter, "adapter_model.safetensors"), flipped],
    [{ use_peft: true, adapter_name_or_path: adapter }, join(adapter, "adapter_config.json"), longer],
    [{ train_data: dir }, join(dir, "a.jsonl"), longer],
    [{ eval_data: dir }, join(dir, "a.jsonl"), longer],
    [{ drift_data: dir }, join(dir, "a.jsonl"), longer],
    [{ train_data: glob }, join(dir, "a.jsonl"), longer],
    [{ chat_template: place.path("template.jinja") }, place.path("template.jinja"), longer],
    [{ watch_prompts: place.path("prompts.txt") }, place.path("prompts.txt"), longer],
    [online, place.path("reward.mjs"), longer],
  ];
  for (const [values, file, edit] of cases) {
    const key = () =>
      contentKey(loadConfig({ values: { ...place.values, output_dir: "o", ...values } }).config, null);
    const before = key();
    assert.equal(key(), before);
    edit(file);
    assert.notEqual(key(), before, `${JSON.stringify(values)}: ${file}`);
  }
});

test("a large file of a model's weights is read in samples", () => {
  using scratch = temporaryDirectory();
  const elements = 17 * 1024 * 1024;
  const entry = { dtype: "F32", shape: [elements], data_offsets: [0, 4 * elements] };
  const header = Buffer.from(JSON.stringify({ weight: entry }));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  const path = join(scratch.path, "model.safetensors");
  writeFileSync(path, Buffer.concat([size, header]));
  truncateSync(path, 8 + header.length + 4 * elements);
  writeFileSync(join(scratch.path, "config.json"), "{}");
  const before = contentOf(scratch.path);
  const change = (at: number): void => {
    const file = openSync(path, "r+");
    writeSync(file, Buffer.of(1), 0, 1, 8 + header.length + at);
    closeSync(file);
  };
  // between two samples, as a fingerprint has it
  change(8192);
  assert.equal(contentOf(scratch.path), before);
  change(1);
  assert.notEqual(contentOf(scratch.path), before);
});

test("a directory is the same wherever it lies, and hidden files do not count; a name without a copy stays one", () => {
  using place = runFixture({ rows: 8, held: 4 });
  const model = String(place.values["model_name_or_path"]);
  const copied = place.path("copied");
  cpSync(model, copied, { recursive: true });
  writeFileSync(join(copied, ".gitattributes"), "x");
  assert.equal(contentOf(copied), contentOf(model));
  assert.match(contentOf(model), /^[0-9a-f]{64}$/);
  for (const name of ["nobody/nothing", "hub:nobody/nothing@v1", "{{ bos_token }}".repeat(1000)])
    assert.equal(contentOf(name), name);
});

test("a model of the hub whose files are here is the commit that they are of", () => {
  using place = runFixture({ rows: 8, held: 4 });
  const before = process.env["HF_HUB_CACHE"];
  process.env["HF_HUB_CACHE"] = place.path("cache");
  try {
    const repo = place.path("cache", "models--o--n");
    for (const commit of ["1", "2"].map((digit) => digit.repeat(40))) {
      mkdirSync(join(repo, "snapshots", commit), { recursive: true });
      mkdirSync(join(repo, "refs"), { recursive: true });
      writeFileSync(join(repo, "refs", "main"), commit);
      assert.equal(contentOf("o/n"), `hub:o/n@${commit}`);
    }
    assert.equal(contentOf(`o/n@${"1".repeat(40)}`), `hub:o/n@${"1".repeat(40)}`);
    assert.equal(contentOf("o/n@other"), "o/n@other");
  } finally {
    if (before === undefined) delete process.env["HF_HUB_CACHE"];
    else process.env["HF_HUB_CACHE"] = before;
  }
});
