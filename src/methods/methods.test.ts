/** The records of methods and losses: that they agree, and that every hyperparameter is documented and has a value. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadMethod } from "../config/load-config.ts";
import { methodNames, methodOf, microBatchSetting, type SettingsOf } from "./index.ts";
import { objectiveOf } from "./losses.ts";
import { klOverOf, needsReference as needsReferenceOf } from "./objective.ts";

for (const name of methodNames) {
  test(`${name}: its loss says what its settings say of it`, () => {
    const { over, needsReference, reward, metrics } = methodOf(name);
    const objective = objectiveOf(loadMethod({ objective: name }));
    assert.deepEqual(
      [objective.name, objective.over, needsReferenceOf(objective)],
      [name, over, needsReference],
    );
    assert.equal(reward !== undefined, over === "pairs" || over === "labelled");
    assert.equal(new Set(metrics.map(({ key }) => key)).size, metrics.length);
  });

  test(`${name}: every hyperparameter is documented, and has a value with every preset`, () => {
    const { keys, presets } = methodOf(name);
    for (const [key, { doc, unit }] of Object.entries(keys)) {
      assert.ok(doc.endsWith(".") && unit !== "", key);
      for (const preset of Object.keys(presets ?? { none: 0 })) {
        const settings = loadMethod({ objective: name, ...(presets === null ? {} : { preset }) });
        assert.notEqual(
          (settings as unknown as Record<string, unknown>)[key],
          undefined,
          `${preset}: ${key}`,
        );
      }
    }
  });
}

test("settings say of every loss whether it is of micro-batches", () => {
  const found = [];
  const choices = [{}, { loss_type: "bnpo" }, { loss_type: "apo_zero_unpaired", preset: "trl" }];
  for (const objective of methodNames) {
    const { presets, keys } = methodOf(objective);
    const named = Object.keys(presets ?? {}).map((preset) => ({ preset }));
    for (const one of [...choices, ...named]) {
      const isKnown = "loss_type" in one ? JSON.stringify(keys).includes(`"${one.loss_type}"`) : true;
      if (!isKnown) continue;
      const settings = loadMethod({ objective, ...one });
      const loss = objectiveOf(settings);
      const isOfMicroBatch =
        ("needsWholeMicroBatch" in loss && loss.needsWholeMicroBatch === true) ||
        klOverOf(loss) === "micro_batch";
      const setting = microBatchSetting(settings);
      assert.equal(setting !== null, isOfMicroBatch, JSON.stringify(one));
      if (setting !== null) found.push(`${objective}: ${setting}`);
    }
  }
  assert.deepEqual(found.sort(), [
    "grpo: loss_type: bnpo",
    "kto: kl_over: micro_batch",
    "slime: preset: reference-compat",
  ]);
});

test("another method's key is a type error", () => {
  // either line would not compile if the keys of one method were known in the settings of another
  const isKnown: "lambda_w" extends keyof SettingsOf<"dpo"> ? true : false = false;
  const isOwn: "lambda_w" extends keyof SettingsOf<"slime"> ? true : false = true;
  assert.deepEqual([isKnown, isOwn], [false, true]);
});

test("a method is named in its folder and in the two records alone", () => {
  const src = join(import.meta.dirname, "..");
  const files = globSync("**/*.ts", { cwd: src }).filter((path) => !path.endsWith(".test.ts"));
  const naming = files.filter((path) => /simpo/i.test(readFileSync(join(src, path), "utf8")));
  assert.deepEqual(naming.sort(), [
    "methods/index.ts",
    "methods/losses.ts",
    "methods/simpo/loss.ts",
    "methods/simpo/settings.ts",
  ]);
});
