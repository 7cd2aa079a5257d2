/** docs/models.md says of each class what the code says; and no family is named where the code is about all of them. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { classesOf, families } from "../../src/formats/families/index.ts";
import { everyFamily } from "../support/fixture-files.ts";
import { ggufFamilies } from "../support/gguf-files.ts";
import { multimodalNames } from "../support/multimodal.ts";
import { cellsOf } from "../support/snippets.ts";

const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/models.md"), "utf8");

/** The rows of the table whose header begins with `header`, cell by cell. */
function rowsOf(header: string): string[][] {
  const after = page.slice(page.indexOf(`\n| ${header}`) + 1);
  return after.slice(0, after.indexOf("\n\n")).split("\n").slice(2).map(cellsOf);
}

/** What stands in backquotes. */
const quoted = (cell = ""): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);

test("the tables name every class and every fixture", () => {
  const blocks = rowsOf("Family | `model_type`");
  const types = classesOf(families).map(({ modelType }) => modelType);
  assert.deepEqual(blocks.flatMap(([, cell]) => quoted(cell)).sort(), [...types].sort());
  assert.deepEqual(blocks.flatMap(([, , , cell]) => quoted(cell)).sort(), [...everyFamily].sort());
  assert.deepEqual(
    rowsOf("`model_type` | Published")
      .flatMap(([cell]) => quoted(cell))
      .sort(),
    types.sort(),
  );
  const whole = classesOf(families).filter(({ multimodal }) => multimodal !== null);
  assert.deepEqual(whole.map(({ modelType }) => modelType).sort(), [...multimodalNames].sort());
});

test("the tables say of GGUF files and of PEFT's defaults what the code does", () => {
  const yes = (is: boolean): string => (is ? "yes" : "no");
  const said = new Map(rowsOf("`model_type` | Published").map((row) => [quoted(row[0])[0], row.slice(3)]));
  for (const { modelType, family, hasPeftTargets } of classesOf(families))
    assert.deepEqual(said.get(modelType), [yes(family.llamaCpp !== null), yes(hasPeftTargets)], modelType);
  // each that is written is compared with llama.cpp
  const compared = new Set(ggufFamilies.map((fixture) => typeOf(fixture)));
  const written = families.filter(({ llamaCpp }) => llamaCpp !== null);
  assert.deepEqual([...compared].sort(), written.map(({ names }) => names.modelType).sort());
});

function typeOf(fixture: string): string {
  const config = readFileSync(join(root, "test/fixtures", fixture, "model/config.json"), "utf8");
  return JSON.parse(config).model_type;
}

/** Files that are about what a family published, not about what its models compute, and the toy models. */
const aboutPublished = [
  "src/text/known-templates.ts",
  "src/text/tokenizers/known-patterns.ts",
  // classes of transformers' tokenizers
  "src/text/class-tokens.ts",
  "src/text/prefix-space.ts",
  "src/gguf/pre-tokenizer.ts",
  "src/gguf/special-tokens.ts",
  // the kind of llama.cpp's vocabulary
  "src/gguf/vocabulary.ts",
  // where a key's name comes from
  "src/config/data-keys.ts",
  "src/toy/base-model.ts",
  "src/quickstart/quickstart.ts",
];
/** Programs and a kind of position scaling that are called like a family. */
const others =
  /llama\.?cpp|llama-server|llama-?quantize|llama-peer|ollama|llama-?factory|olmo-core|olmo uses|smollm2-135m|llama3|llama 3\.1 release|llama 3 keeps/gi;

test("a family's name stands in its file, the registry, docs and tests alone", () => {
  const words = [...new Set(families.map(({ name }) => name.replace(/\d+$/, "")))];
  const capitals = words.map((word) => `${word[0]?.toUpperCase()}${word.slice(1)}`);
  // as a word's beginning in any spelling, or within one in capitals: not the "pHi" of a stepHistory
  const spellings = [new RegExp(`(?<![a-z])(${words.join("|")})`, "i"), new RegExp(capitals.join("|"))];
  const names = (line: string): boolean => spellings.some((one) => one.test(line.replaceAll(others, "")));
  const found = ["src", "native"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .map((path) => `${folder}/${path}`)
      .filter((path) => /\.(ts|tsx|h|cpp)$/.test(path) && !path.endsWith(".test.ts"))
      .filter((path) => !path.startsWith("src/formats/families/") && !aboutPublished.includes(path))
      .flatMap((path) => {
        const lines = readFileSync(join(root, path), "utf8").split("\n");
        return lines.filter(names).map((line) => `${path}: ${line.trim()}`);
      }),
  );
  assert.deepEqual(found, []);
});
