/** YAML and JSON in the documents is what the program reads: configurations by the loader, other files by their readers. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseDocument } from "yaml";
import { documentsOf } from "../../scripts/markdown-links.ts";
import { isConfigKey } from "../../src/config/keys.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { parseSweep } from "../../src/sweep/sweep-file.ts";
import { parseCleanRecipe } from "../../src/workbench/clean/clean-recipe.ts";
import { parseRound } from "../../src/workbench/rounds/round-file.ts";
import { alternatives, snippetsOf } from "../support/snippets.ts";

const root = join(import.meta.dirname, "../..");
const documents = documentsOf(root).map((page) => ({ page, text: readFileSync(join(root, page), "utf8") }));

/** Keys by which a configuration becomes one: a snippet shows what it is about. */
const rest = { model_name_or_path: "model", train_data: "pairs.jsonl", output_dir: "runs/mine" };

/** Checks a part of a run's configuration, completed by what every run needs. */
function checkConfig(yaml: string, page: string): void {
  const given = parseDocument(yaml).toJS() as Record<string, unknown>;
  const held = "eval_data" in given ? {} : { eval_fraction: 0.1 };
  const missing = Object.entries({ ...rest, ...held }).filter(([key]) => !(key in given));
  const completed = `${yaml}\n${missing.map(([key, value]) => `${key}: ${value}`).join("\n")}\n`;
  loadConfig({ yaml: completed, file: page });
}

/** Files of other kinds, by a key that only they have. */
const readers: Readonly<Record<string, (yaml: string, page: string) => void>> = {
  parameters: (yaml, page) => void parseSweep(yaml, page),
  eval_prompts: (yaml, page) => void parseRound(yaml, page),
  filters: (yaml, page) => void parseCleanRecipe(yaml, page),
  // read by the dashboard from a folder
  contestants: () => {},
  // other trainers', of which coming-from.test.ts reads the names
  stage: () => {},
  base_model: () => {},
  dataset_name: () => {},
  // Kubernetes' own
  apiVersion: () => {},
};

function checkYaml(yaml: string, page: string): "config" | "other" {
  const document = parseDocument(yaml, { uniqueKeys: false });
  assert.deepEqual(document.errors, []);
  const keys = Object.keys(document.toJS() as object);
  const reader = Object.entries(readers).find(([key]) => keys.includes(key))?.[1];
  if (reader !== undefined) {
    reader(yaml, page);
    return "other";
  }
  assert.ok(
    keys.some(isConfigKey),
    `${keys.join(", ")}: neither a run's configuration nor another file of ours`,
  );
  for (const one of alternatives(yaml)) checkConfig(one, page);
  return "config";
}

test("every YAML snippet is a configuration that loads, or a file that its reader takes", () => {
  const wrong: string[] = [];
  const count = { config: 0, other: 0 };
  for (const { page, text } of documents) {
    // a file that a shell block writes is one too
    const written = [...text.matchAll(/^cat > \S+\.yaml <<'?END'?\n([\s\S]*?)^END$/gm)].map(
      ([, yaml = ""]) => yaml,
    );
    for (const yaml of [...snippetsOf(text, "yaml"), ...written]) {
      try {
        count[checkYaml(yaml, page)] += 1;
      } catch (error) {
        wrong.push(`${page}: ${error instanceof Error ? error.message : error}\n${yaml}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(count.config > 10 && count.other > 3, JSON.stringify(count));
  assert.throws(
    () => checkYaml("learning_rat: 1\nobjective: slime\n", "page"),
    /Did you mean "learning_rate"/,
  );
  assert.throws(() => checkYaml("train_data: a\ntrain_data: [1]\n", "page"), /train_data/);
});

test("every JSON snippet is JSON, and every line of JSON lines", () => {
  let count = 0;
  for (const { page, text } of documents) {
    for (const [, language = "", code = ""] of text.matchAll(/^```(jsonl?)[^\n]*\n(.*?)^```$/gms)) {
      for (const part of language === "jsonl" ? code.trimEnd().split("\n") : [code]) {
        count += 1;
        assert.doesNotThrow(() => JSON.parse(part), `${page}: ${part}`);
      }
    }
  }
  assert.ok(count > 30, `${count}`);
});

/** Names of library functions that prose calls: those in camel case, and those that are said to be of an entry point. */
function calledIn(text: string): { name: string; door: string | null }[] {
  const prose = text.replaceAll(/^```.*?^```$/gms, "");
  const calls = prose.matchAll(/`([a-z]\w*)\([^`]*`(?:\s+of\s+`(preftune(?:\/\w+)?)`)?/g);
  return [...calls]
    .map(([, name = "", door]) => ({ name, door: door ?? null }))
    .filter(({ name, door }) => door !== null || /[A-Z]/.test(name));
}

test("a library function that a page calls is exported, by the entry point that the page says", () => {
  const api = readFileSync(join(root, "test/package/public-api.txt"), "utf8");
  const exported = new Map<string, string[]>();
  for (const [, door = "", names = ""] of api.matchAll(/^(preftune[\w/]*)\n((?: {2}\w+\n)*)/gm))
    exported.set(door, names.trim().split(/\s+/));
  const isExported = ({ name, door }: { name: string; door: string | null }): boolean =>
    (door === null ? [...exported.values()].flat() : (exported.get(door) ?? [])).includes(name);
  const called = documents
    .filter(({ page }) => !page.startsWith("docs/decisions/"))
    .flatMap(({ page, text }) => calledIn(text).map((call) => ({ page, ...call })));
  assert.ok(called.some(isExported));
  assert.deepEqual(
    called.filter((call) => !isExported(call)),
    [],
  );
  assert.equal(calledIn("`sampleCompletions(model)` and `mean(x)`").some(isExported), false);
});

test("a program that waits for evaluations has rows to evaluate on", () => {
  const programs = documents.flatMap(({ page, text }) => snippetsOf(text).map((code) => ({ page, code })));
  const waiting = programs.filter(({ code }) => code.includes('event.type === "evaluation"'));
  assert.ok(waiting.length >= 2);
  assert.deepEqual(
    waiting.filter(({ code }) => !/\beval_(data|fraction):/.test(code)),
    [],
  );
});
