/** The table of names beside other trainers': every name in its first column is a key, and TRL's own name where the table says so. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { isConfigKey } from "../../src/config/keys.ts";
import { adviceOnName } from "../../src/config/other-names.ts";
import { cellsOf, snippetsOf } from "../support/snippets.ts";

const text = readFileSync(join(import.meta.dirname, "../../docs/coming-from.md"), "utf8");
const rows = text
  .split("\n")
  .filter((line) => line.startsWith("| `"))
  .map((line) => cellsOf(line).slice(0, 4));

test("the first column's names are keys, each once, and each row has four trainers", () => {
  const names = rows.map(([own = ""]) => own.replaceAll("`", ""));
  assert.ok(names.length > 40);
  assert.deepEqual(
    names.filter((name) => !isConfigKey(name)),
    [],
  );
  assert.equal(new Set(names).size, names.length);
  assert.ok(rows.every((cells) => cells.length === 4 && cells.every((cell) => cell !== "")));
});

/** Names that are no option of a file: a class's method, an option of a group, the beginning of several names. */
const noOptions = ["PeftModel.from_pretrained", "trl.num_generations", "trl.reward_funcs", "field_*"];

test("every name of another trainer is refused with a hint that leads to the key of its row", () => {
  let hints = 0;
  for (const [own = "", ...others] of rows) {
    for (const [, name = ""] of others.join(" ").matchAll(/`([\w.*]+)(?:: \w+)?`/g)) {
      if (isConfigKey(name) || noOptions.includes(name)) continue;
      const key = own.replaceAll("`", "");
      const keys = rows.filter((cells) => cells.join(" ").includes(`\`${name}`)).map(([first = ""]) => first);
      const hint = adviceOnName(name) ?? "";
      // one name may stand for two keys of ours, and the hint for either
      const leads = [key, ...keys.map((one) => one.replaceAll("`", ""))].some((one) => hint.includes(one));
      assert.ok(leads, `${name}: ${hint}`);
      hints += 1;
    }
  }
  assert.ok(hints > 50, `${hints}`);
});

/** Keys of the other trainers' files that say nothing that a configuration of ours has to. */
const withoutCounterpart: Readonly<Record<string, readonly string[]>> = { "LLaMA-Factory": ["do_train"] };

test("the keys of the same run in the other trainers' files are in their columns, in rows of keys that ours has", () => {
  const [factory, axolotl, trl, own] = snippetsOf(text, "yaml").map((yaml) => Object.keys(parse(yaml)));
  assert.ok(own?.every(isConfigKey));
  // what follows from defaults here: DPO's form, LoRA on all linear layers, the tokenizer's template
  const byDefault = ["loss_type", "lora_target_modules", "chat_template", "eval_data"];
  for (const [name, column, keys = []] of [
    ["TRL", 1, trl],
    ["LLaMA-Factory", 2, factory],
    ["Axolotl", 3, axolotl],
  ] as const) {
    assert.ok(keys.length > 12, name);
    for (const key of keys.filter((one) => !withoutCounterpart[name]?.includes(one))) {
      const row = rows.filter((cells) => new RegExp(`\\b${key}\\b`).test(cells[column] ?? ""));
      const ours = row.map(([cell = ""]) => cell.replaceAll("`", ""));
      assert.ok(
        ours.some((one) => own?.some((key) => key === one) || byDefault.includes(one)),
        `${name}: ${key}: ${ours}`,
      );
    }
  }
});
