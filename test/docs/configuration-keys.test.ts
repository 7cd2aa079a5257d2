/** A configuration key has one name: it can be searched for from its declaration over the manual to the code that uses it. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CONFIG_KEYS } from "../../src/config/keys.ts";

const root = join(import.meta.dirname, "../..");
const configuration = /^src\/config\//;

/** Code without comments and the contents of strings; what stands in the `${}` of a template stays. */
function codeOf(path: string): string {
  const text = readFileSync(join(root, path), "utf8");
  return text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"/g, "");
}

const files = globSync("src/**/*.ts", { cwd: root }).filter((path) => !/\.test\.ts$/.test(path));
const sources = files.map((path) => ({ path, code: codeOf(path) }));
// a method declares its keys beside its loss
const declarations = sources.filter(({ path }) => configuration.test(path) || /\/settings\.ts$/.test(path));
const users = sources.filter(({ path }) => !configuration.test(path));
const manual = readFileSync(join(root, "docs/configuration.md"), "utf8");

const holdersOf = (where: typeof sources, pattern: RegExp): string[] =>
  where.filter(({ code }) => pattern.test(code)).map(({ path }) => path);

for (const key of CONFIG_KEYS) {
  test(`${key} is declared, documented and used under this name`, () => {
    assert.ok(holdersOf(declarations, new RegExp(`^\\s+${key}\\??: `, "m")).length > 0, "no declaration");
    assert.match(manual, new RegExp(`^\\| \`${key}\` \\|`, "m"), "not in docs/configuration.md");
    const uses = holdersOf(users, new RegExp(`[.{,]\\s*${key}\\b(?!\\??:)`));
    assert.ok(uses.length > 0, "no use outside the configuration");
  });
}

/** Names that a value is handed on under because they are another format's or another part's own. */
const otherNames: Readonly<Record<string, string>> = {
  // a model and its adapter, as `score` takes them
  model_name_or_path: "model",
  // adapter_config.json, as src/formats/adapter-config.ts reads it
  lora_r: "rank",
  lora_alpha: "alpha",
  lora_modules_to_save: "modulesToSave",
  use_rslora: "useRslora",
  use_dora: "useDora",
  // options of the tokenising library, which serve and generate have too
  chat_template: "chatTemplate",
  enable_thinking: "enableThinking",
  train_on: "trainOn",
  mask_tool_output: "maskToolOutput",
  // options of sampling, for a round's answers and for those that the collapse watch reads
  num_generations: "n",
  max_completion_length: "maxNewTokens",
  watch_temperature: "temperature",
  watch_max_new_tokens: "maxNewTokens",
  watch_samples: "answersPerPrompt",
  // arguments of torch's fused AdamW
  adam_beta1: "beta1",
  adam_beta2: "beta2",
  adam_epsilon: "eps",
  weight_decay: "decay",
  // fields of JSON that was written before: export.json, `plan --json`, a stage of the quick start, the end of `train`
  export_parity_tolerance: "tolerance",
  per_device_train_batch_size: "batchSize",
  gradient_checkpointing: "gradientCheckpointing",
  max_length: "maxLength",
  output_dir: "outputDir",
};

test("a value is handed on under its key's name", () => {
  const keys = new Set<string>(CONFIG_KEYS.filter((key) => key.includes("_")));
  const renamed = users.flatMap(({ path, code }) =>
    [...code.matchAll(/\b(\w+): (?:[\w#]+\.)+(\w+)(?=,|\n\s*\}| \})/g)].flatMap(([, name = "", key = ""]) =>
      !keys.has(key) || name === key || otherNames[key] === name ? [] : [`${path}: ${name}: ${key}`],
    ),
  );
  assert.deepEqual(renamed, []);
});
