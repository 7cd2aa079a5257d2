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
import { contentKey, contentOf, startKey } from "./content.ts";

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

test("a run of before weights could be left out, and thresholds of few answers were, has the keys that it had", () => {
  const common = { model_name_or_path: "nobody/model", train_data: "rows", output_dir: "round/run" };
  const keys = (values: Values): string[] => {
    const { config } = loadConfig({ values: { ...common, ...values } });
    return [contentKey(config, null), startKey(config)];
  };
  const adapter = { objective: "dpo", use_peft: true, adapter_name_or_path: "nobody/adapter" };
  const parts = ["a", { path: "b", weight: 2 }];
  const judged = { watch_prompts: "eval", watch_thresholds: { repetition: 0.1 } };
  // as commit 59978ea9 has them
  const cases: [Values, content: string, start: string][] = [
    [
      { eval_data: ["a", "b"] },
      "2c698e0fb96fc71498559aa026815aa6c63a8c033d55a2b4077692dbc628ea2f",
      "010457998876cf588a28e071f35f027edd1e93cbab161f0494e0b9a0f24ef720",
    ],
    [
      { train_data: parts, eval_data: parts, ...judged },
      "12a690ac22ed7e90053ceb1a1bfb37899e2323358a5654b6337d291063ced67f",
      "2bb5452d2d57e4e9808fd0f788da7ffd9e46cc3a6f0d9767addfb77e90bf7ccc",
    ],
    [
      { ...adapter, eval_data: "held", disable_dropout: true },
      "09232ab2214004dde8e28f183315acadf92d7a3fa9f74a6bcdbfa9e02448eb8c",
      "7cdb2704c4dbf50cfc9ab723b0c1c8707385afebc4acb16c97b131fb35afbcee",
    ],
    [
      { eval_data: "held", watch_thresholds: { repetition: 0.1 } },
      "80ca71c1b1cddac111bab5b980d8b7f5a78c11a737b1d0cbe96944c30c1f71f8",
      "9a81c254e9f59c6df28eee325bd602c26ee0539821c16a53716b102715ce2ee1",
    ],
  ];
  for (const [values, ...known] of cases) assert.deepEqual(keys(values), known);
  // the dropout of the adapter's own file is trained with, which was 0.05 before
  const [dropped] = keys({ ...adapter, eval_data: "held" });
  assert.notEqual(dropped, "e176e300752c9bff35b490969d490df18ddd295aa0746f8b77e30d3e8369809c");
  const even = keys({ eval_data: ["a", { path: "b", weight: 1 }] });
  assert.equal(
    new Set([...keys({ eval_data: ["a", "b"] }), ...even]).size,
    4,
    "an even draw is not all rows",
  );
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
