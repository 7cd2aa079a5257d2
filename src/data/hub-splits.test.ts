/** Splits by the names of files: expected values are those of `datasets` 4 (`get_data_patterns`), unless said otherwise. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { chooseFiles, splitOf, variantsOf } from "./hub-splits.ts";

function entries(paths: readonly string[]): Parameters<typeof chooseFiles>[1] {
  return paths.map((path) => ({ type: "file", path, size: 1, oid: path }));
}

function choose(split: string | null, ...paths: string[]): string[] {
  return chooseFiles({ repo: "o/n", folder: "", split }, entries(paths)).map((entry) => entry.path);
}

test("the split asked for, train by default, one format, in order", () => {
  const files = [
    "data/train-00001-of-00002.parquet",
    "data/train-00000-of-00002.parquet",
    "data/train_sft-00000-of-00001.parquet",
    "data/test-00000-of-00001.parquet",
    "train.jsonl",
  ];
  const train = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"];
  assert.deepEqual(choose(null, ...files), train);
  assert.deepEqual(choose("train_sft", ...files), ["data/train_sft-00000-of-00001.parquet"]);
  assert.deepEqual(choose("test", "train/0000.parquet", "test/0000.parquet"), ["test/0000.parquet"]);
  assert.deepEqual(choose(null, "harmless/pairs.jsonl.gz"), ["harmless/pairs.jsonl.gz"]);
  assert.throws(
    () => choose("trian", ...files),
    /expected a split "trian" of train, train_sft, test\. Did you mean "train"\?/,
  );
  assert.throws(() => choose(null, "test.jsonl", "b.jsonl"), /expected a split of test, b.*hub:o\/n:SPLIT/);
});

test("numbered parts in data go before folders that say a split, and these before names, as in datasets 5.2", () => {
  const parts = ["data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"];
  assert.deepEqual(choose(null, ...parts, "more/train.parquet", "train/a.parquet"), parts.slice(0, 1));
  assert.deepEqual(choose("test", ...parts, "test.parquet"), parts.slice(1));
  assert.deepEqual(choose(null, "data/train/a.parquet", "data/train.en.parquet", "train.parquet"), [
    "data/train/a.parquet",
  ]);
  assert.deepEqual(choose("test", "data/test/train.parquet", "test-00000-of-00001.parquet"), [
    "data/test/train.parquet",
  ]);
  assert.deepEqual(choose(null, "split_train/a.parquet", "v1/train.en.parquet"), ["split_train/a.parquet"]);
  // where the split is in none of these, unlike in datasets, which then has no such split
  assert.deepEqual(choose("extra", ...parts, "more/extra.parquet"), ["more/extra.parquet"]);
  assert.deepEqual(choose(null, "test/a.parquet", "train.parquet"), ["train.parquet"]);
  assert.deepEqual(choose("validation", "train/a.parquet", "dev.parquet"), ["dev.parquet"]);
});

test("where no name says a split all files are train, and each is a split by its own name, unlike in datasets", () => {
  assert.deepEqual(choose("train", "orca_rlhf.jsonl"), ["orca_rlhf.jsonl"]);
  for (const split of [null, "train"]) {
    assert.deepEqual(choose(split, "b.jsonl", "a.jsonl"), ["a.jsonl", "b.jsonl"]);
  }
  assert.deepEqual(choose("b", "a.jsonl", "b.jsonl"), ["b.jsonl"]);
  assert.throws(() => choose("test", "a.jsonl", "b.jsonl"), /expected a split "test" of a, b\./);
  assert.deepEqual(variantsOf(entries(["a.jsonl", "b.jsonl"])), ["a*", "b*"]);
  assert.deepEqual(variantsOf(entries(["a-1.jsonl", "a-2.jsonl"])), []);
  assert.deepEqual(variantsOf(entries(["a/0.parquet", "a/1.parquet", "b/0.parquet"])), ["a", "b"]);
});

for (const [train, held] of [
  ["train/data.jsonl", "test/data.jsonl"],
  ["pairs-train.jsonl", "pairs-test.jsonl"],
  ["pairs.train.jsonl", "pairs.test.jsonl"],
  ["pairs_train.jsonl", "pairs_test.jsonl"],
  ["train/part-0.parquet", "test/part-0.parquet"],
  ["train/test.jsonl", "test/train.jsonl"],
  ["training.jsonl.gz", "evaluation.jsonl.gz"],
  ["train_1.json", "test1.json"],
] as const) {
  test(`${train} and ${held} are the splits train and test`, () => {
    assert.deepEqual(choose(null, train, held), [train]);
    assert.deepEqual(choose("test", train, held), [held]);
  });
}

test("dev, val and valid are the split validation, by either name", () => {
  for (const name of ["dev-v2.0.json", "val.jsonl", "valid1.jsonl"]) {
    assert.equal(splitOf(name, ""), "validation");
    assert.deepEqual(choose("dev", "train-v2.0.json", name), [name]);
  }
});

test("a keyword is a word of its own", () => {
  for (const name of ["latest", "contest", "trained"]) assert.equal(splitOf(`${name}.jsonl`, ""), name);
});

test("splits whose names begin with a keyword stay apart, where datasets would mix them", () => {
  assert.equal(splitOf("train_sft/0000.parquet", ""), "train_sft");
  assert.equal(splitOf("test_sft/rows.jsonl", ""), "test_sft");
  assert.equal(splitOf("pairs-train_prefs.jsonl", ""), "train_prefs");
  assert.equal(splitOf("data/sft_train-00000-of-00001.parquet", ""), "sft_train");
});

test("the folder that is named says nothing of the split unless nothing in it does", () => {
  assert.equal(splitOf("test/train.jsonl", "test"), "train");
  assert.equal(splitOf("main/test/0000.parquet", "main/test"), "test");
});

test("files of one split in several folders, or of several beginnings, may be variants of the data set", () => {
  const variants = (...paths: string[]): string[] => variantsOf(entries(paths));
  assert.deepEqual(variants("main/train-00000-of-00001.parquet", "socratic/train-00000-of-00001.parquet"), [
    "main",
    "socratic",
  ]);
  assert.deepEqual(variants("a/train/0.parquet", "b/train/0.parquet"), ["a/train", "b/train"]);
  assert.deepEqual(variants("a-train.jsonl", "b-train.jsonl"), ["a-*", "b-*"]);
  assert.deepEqual(variants("train/a.parquet", "train/b.parquet"), []);
  assert.deepEqual(
    variants("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "train/x.parquet"),
    ["data", "train"],
  );
  assert.deepEqual(variants("pairs-train.0.jsonl", "pairs-train.1.jsonl"), []);
});
