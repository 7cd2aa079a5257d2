/** What is refused before the first run of a grid. */
import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ConfigError } from "../base/errors.ts";
import { runSweep } from "./sweep.ts";
import { parseSweep } from "./sweep-file.ts";
import { checkTrials, trialsOf } from "./trials.ts";

const output = join(tmpdir(), `preftune-trials-${process.pid}`);
after(() => rmSync(output, { recursive: true, force: true }));

/** Starts a sweep that must be refused before anything is written. */
async function refusal(values: string, search: string, held = "b.jsonl"): Promise<string> {
  const shared = `{model_name_or_path: m, train_data: a.jsonl, eval_data: ${held}${values}}`;
  const sweep = parseSweep(`values: ${shared}\n${search}\n`, "sweep.yaml");
  const runTask = () => assert.fail("a run began");
  const options = { output, jobs: 1, command: "", out: { write: () => true }, runTask };
  return runSweep(sweep, options).then(
    () => assert.fail("accepted"),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.ok(!existsSync(output));
      return error.message;
    },
  );
}

test("a sweep over a key without effect is refused with the reason, before its folder is taken", async () => {
  const epochs = "parameters:\n  num_train_epochs: [1, 2]";
  assert.match(
    await refusal(", max_steps: 100", epochs),
    /num_train_epochs has no effect here: max_steps decides when training ends\. Runs that differ in it would be the same\./,
  );
  assert.match(
    await refusal(", tokens_per_step: 512", "parameters:\n  gradient_accumulation_steps: [1, 2]"),
    /gradient_accumulation_steps has no effect here: tokens_per_step decides/,
  );
});

test("so is a resource of successive halving that has none", async () => {
  const rounds =
    "method: halving\nresource: num_train_epochs\nleast: 1\nmost: 4\nparameters:\n  kappa: [1, 2]";
  assert.match(await refusal(", max_steps: 100", rounds), /num_train_epochs has no effect here: max_steps/);
});

test("settings whose names differ in punctuation or case alone have directories of their own", () => {
  const named = ["train_data a/b.jsonl", "train_data a-b.jsonl", "kappa 2.5"];
  const conditions = named.map((name) => ({ name, changes: {} }));
  const trials = trialsOf(conditions, { count: 1 }, { file: null, overrides: [], shared: () => ({}) });
  const [one = "", other = "", third] = trials.map(({ id }) => id);
  assert.match(one, /^train-data-a-b.jsonl-[0-9a-f]{8}-s1$/);
  assert.match(other, /^train-data-a-b.jsonl-[0-9a-f]{8}-s1$/);
  assert.notEqual(one, other);
  assert.equal(third, "kappa-2.5-s1");
});

test("so are held-out rows that each seed draws others of", async () => {
  const mixed = "[{path: b.jsonl, weight: 2}, {path: c.jsonl, weight: 1}]";
  const rates = "parameters:\n  learning_rate: [1e-4, 1e-3]";
  assert.match(
    await refusal("", `${rates}\nseeds: 2`, mixed),
    /eval_data: expected sources without weights, .* Take the weights out, or give one seed\./,
  );
  const trial = {
    ...{ id: "one", condition: "one", seed: 1, file: null, overrides: [] },
    changes: {},
    extra: null,
  };
  const evalData = [{ path: "b.jsonl", weight: 2 }, { path: "c.jsonl" }];
  const values = { model_name_or_path: "m", train_data: "a.jsonl", eval_data: evalData };
  assert.doesNotThrow(() => checkTrials([{ ...trial, values }]));
  // of what was drawn to train on, invalid_rows: drop takes the prompts out of the held-out rows
  const drawn = { ...values, train_data: evalData, eval_data: "a.jsonl" };
  const seedsOf = (own: object) => [1, 2].map((seed) => ({ ...trial, seed, values: { ...drawn, ...own } }));
  assert.doesNotThrow(() => checkTrials(seedsOf({})));
  assert.throws(() => checkTrials(seedsOf({ invalid_rows: "drop" })), {
    name: "ConfigError",
    message: /train_data: expected sources without weights, .* Take the weights out, .* or give one seed\./,
  });
});

test("so is a value that each run has for itself: three seeds would be one and the same run", () => {
  const shared = { model_name_or_path: "m", train_data: "a.jsonl", eval_data: "b.jsonl" };
  const check = (overrides: [string, string][], more: object = {}) =>
    checkTrials(
      trialsOf(
        [{ name: "one", changes: {} }],
        { count: 3 },
        { file: null, overrides, shared: () => ({ ...shared, ...more }) },
      ),
    );
  assert.doesNotThrow(() => check([["learning_rate", "1e-3"]]));
  const message = /run one-s1: each run has its own seed: take it out\. .*--seeds N of a study/;
  assert.throws(() => check([["seed", "7"]]), { name: "ConfigError", message });
  assert.throws(() => check([], { seed: 7 }), { name: "ConfigError", message });
  assert.throws(() => check([["output_dir", "x"]]), /its own output_dir: .*--output names/);
  assert.throws(() => check([["resume_from_checkpoint", "latest"]]), /its own resume_from_checkpoint/);
});
