/** From the form to a configuration: as on a command line, below the given directories, and never into a run. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { writeRun } from "../../test/support/dashboards.ts";
import { loadConfig } from "../config/load-config.ts";
import { baseValues, draftOf, formFields, recipeNames, resumableConfig } from "./drafts.ts";

const root = realpathSync(mkdtempSync(join(tmpdir(), "preftune-drafts-")));
after(() => rmSync(root, { recursive: true }));
const needed = { model_name_or_path: "m", train_data: "t.jsonl" };

test("the form has every key with its type, meaning and default", () => {
  const fields = formFields().flatMap((group) => group.fields);
  const field = (key: string) => fields.find((one) => one.key === key);
  assert.deepEqual(field("overflow")?.choices, ["error", "drop", "truncate"]);
  assert.deepEqual(field("use_peft")?.choices, ["true", "false"]);
  assert.equal(field("max_length")?.default, "1024");
  assert.deepEqual(field("margin_hard")?.objectives, ["slime"]);
  assert.ok(fields.every(({ doc, expected }) => doc !== "" && expected !== ""));
});

test("a recipe begun with and not changed gives the recipe's configuration, in what was given alone", () => {
  for (const recipe of recipeNames()) {
    const whole = loadConfig({ file: join(import.meta.dirname, "../../recipes", `${recipe}.yaml`) });
    const values = { ...baseValues({ recipe }), output_dir: join(root, recipe) };
    const { resolved, yaml } = draftOf(values, [root], root);
    assert.deepEqual(resolved.config, { ...whole.config, output_dir: join(root, recipe) }, recipe);
    const again = loadConfig({ yaml });
    assert.deepEqual(again.config, resolved.config, recipe);
  }
});

test("output_dir lies below a given directory, links followed, and holds no run", () => {
  const outside = realpathSync(mkdtempSync(join(tmpdir(), "preftune-outside-")));
  mkdirSync(join(root, "in"));
  symlinkSync(outside, join(root, "in", "link"));
  const draft = (dir: string) => draftOf({ ...needed, output_dir: dir }, [root], root);
  assert.equal(draft("in/new").outputDir, join(root, "in", "new"));
  for (const dir of ["..", "../x", outside, "/", ".", "in/link/x", `${root}-2`]) {
    assert.throws(() => draft(dir), /output_dir: expected a folder below/, dir);
  }
  writeRun(root, "run");
  assert.throws(() => draft("run"), /holds a run already/);
  rmSync(outside, { recursive: true });
});

test("every wrong value is named, and no other key is taken", () => {
  const draft = (values: Record<string, string>) => () => draftOf({ ...needed, ...values }, [root], root);
  assert.throws(draft({ output_dir: "x", learning_rate: "fast", lora_r: "0" }), /learning_rate[\s\S]*lora_r/);
  assert.throws(draft({ output_dir: "x", learning_rat: "1" }), /"learning_rat" is no key/);
  assert.throws(() => baseValues({ recipe: "../package" }), /no recipe/);
});

test("a run is resumed only from where its configuration means its own folder", () => {
  const dir = realpathSync(writeRun(root, "absolute"));
  assert.equal(resumableConfig(dir, "/"), join(dir, "config.yaml"));
  const values = baseValues({ dir });
  assert.equal(values["model_name_or_path"], "m<b>");
  assert.equal("learning_rate" in values, false);
});
