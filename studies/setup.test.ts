/** Tests of setup.ts: the generated data and model, made once, and what a user must bring. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fastSize } from "../src/toy/sizes.ts";
import { generateSetup, type SetupOptions, setUpStudy } from "./setup.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-setup-"));
after(() => rmSync(root, { recursive: true }));

const silent = { write: () => true };

test("what is generated: data, an SFT model a seed, two preference sets by kind of flaw; made once", async () => {
  const options = { size: fastSize, seeds: 2, jobs: 2, out: silent };
  const valuesOf = await generateSetup(root, options);
  const weights = (seed: number): string =>
    join(String(valuesOf(seed)["model_name_or_path"]), "model.safetensors");
  const model = weights(1);
  assert.notDeepEqual(readFileSync(weights(2)), readFileSync(model), "another start");
  const rows = (name: string): string[] =>
    readFileSync(join(root, "setup", name), "utf8")
      .trim()
      .split("\n");
  assert.equal(rows("train.jsonl").length, fastSize.data.trainPairs);
  const [form, content] = [rows("form.train.jsonl"), rows("content.train.jsonl")];
  assert.equal(form.length + content.length, fastSize.data.trainPairs);
  assert.ok(form.length > 0 && content.length > 0);
  assert.ok(form.every((row) => !/"flaw":"(swapped|wrong w)/.test(row)));
  const made = statSync(model).mtimeMs;
  assert.deepEqual((await generateSetup(root, options))(2), valuesOf(2));
  assert.equal(statSync(model).mtimeMs, made);
});

test("a model without data, or data without rows to measure on, is refused with what to give", () => {
  const nothing = {
    config: null,
    model: null,
    data: null,
    evalData: null,
    otherData: null,
    otherEvalData: null,
    overrides: [],
  };
  const options = { ...nothing, budget: "quick", jobs: null, cores: 4, seeds: 1, out: silent } as const;
  for (const part of ["model", "data", "evalData", "otherData", "otherEvalData"]) {
    assert.throws(
      () => setUpStudy(root, { ...options, [part]: "x" }),
      /--model DIR, --data FILE and --eval-data FILE together/,
      part,
    );
  }
  assert.throws(() => setUpStudy(root, { ...options, model: "m", data: "d" }), /--eval-data/);
  const own = setUpStudy(root, { ...options, model: "m", data: "d", evalData: "e", jobs: 2 });
  assert.equal(own.valuesOf(1)["threads"], 2);
  assert.equal(own.valuesOf(1)["eval_fraction"], 0);
  assert.deepEqual(own.sets, []);
  const config = join(root, "own.yaml");
  const withConfig = (text: string, more: Partial<SetupOptions> = {}) => {
    writeFileSync(config, text);
    return setUpStudy(root, { ...options, config, ...more });
  };
  assert.throws(() => withConfig("eval_fraction: 0.1\n"), {
    name: "ConfigError",
    message:
      `${config}: eval_data: expected separate held-out rows, so that the runs of a study are compared on the same pairs, ` +
      "got eval_fraction 0.1 alone. Give --eval-data FILE, or eval_data in the configuration in place of eval_fraction.",
  });
  assert.throws(
    () => withConfig("train_data: a.jsonl\n"),
    /own\.yaml: eval_data: .* got none\. Give --eval-data/,
  );
  assert.throws(() => withConfig("", { overrides: [["eval_fraction", "0.2"]] }), /eval_fraction 0\.2 alone/);
  withConfig("eval_fraction: 0.1\n", { evalData: "e" });
  withConfig("eval_fraction: 0.1\n", { overrides: [["eval_data", "e"]] });
  withConfig("eval_data: e\n");
  const none = { overrides: [["eval_data", "null"]] } as const;
  assert.throws(() => withConfig("eval_data: e\n", none), /eval_data: .* got none\. Give --eval-data/);
  assert.throws(() => withConfig("eval_data: [\n"), /own\.yaml:/);
});
