import assert from "node:assert/strict";
import { test } from "node:test";
import { fileBefore, pairsOf, pairsToTrain } from "./overrides.ts";

test("words of the command line are keys and values, and a key alone is true", () => {
  assert.deepEqual(pairsOf(["--learning_rate", "1e-4", "--lora_r=4", "--use_peft", "--seed", "1"]), [
    ["learning_rate", "1e-4"],
    ["lora_r", "4"],
    ["use_peft", "true"],
    ["seed", "1"],
  ]);
  assert.deepEqual(pairsOf(["--max_steps", "-1"]), [["max_steps", "-1"]]);
  assert.throws(() => pairsOf(["stray"]), /expected --key value after the configuration, got "stray"/);
});

test("a key that is not true or false needs a value", () => {
  assert.throws(
    () => pairsOf(["--seed"]),
    /^ConfigError: --seed: expected a whole number .* after it, got nothing/,
  );
  assert.throws(
    () => pairsOf(["--output_dir", "--use_peft"]),
    /--output_dir: expected a directory path after it/,
  );
  assert.throws(() => pairsOf(["--learning-rate", "--use_peft"]), /--learning-rate: expected a number/);
  // an unknown key is told of with the others
  assert.deepEqual(pairsOf(["--sed"]), [["sed", "true"]]);
});

test("a word that is no key, and a key before the configuration's file, are told with what is meant", () => {
  assert.throws(
    () => pairsOf(["learning_rate=1e-4"]),
    /got "learning_rate=1e-4"\. Did you mean --learning_rate=1e-4\?$/,
  );
  assert.equal(fileBefore("run.yaml"), "run.yaml");
  assert.throws(
    () => fileBefore("--learning_rate"),
    /^ConfigError: expected the configuration's file before the keys, got --learning_rate there\./,
  );
});

test("--resume is a key's value, takes none, and is not given beside that key", () => {
  assert.deepEqual(pairsToTrain(["--seed", "1"], true), [
    ["seed", "1"],
    ["resume_from_checkpoint", "latest"],
  ]);
  assert.deepEqual(pairsToTrain(["--seed", "1"], false), [["seed", "1"]]);
  assert.throws(
    () => pairsToTrain(["--seed", "1", "runs/a b/checkpoint-3"], true),
    /got "runs\/a b\/checkpoint-3"\. --resume takes .* write --resume_from_checkpoint 'runs\/a b\/checkpoint-3' in its place\.$/,
  );
  for (const word of ["resume_from_checkpoint", "resume-from-checkpoint"])
    assert.throws(
      () => pairsToTrain([`--${word}`, "c"], true),
      /^ConfigError: --resume means .* is given too/,
    );
});
