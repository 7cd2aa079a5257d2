/** The schema that editors check run files by says what the configuration's own checks say of each key. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Ajv } from "ajv";
import { TextDocument } from "vscode-languageserver-textdocument";
import { parse, stringify } from "yaml";
import { getLanguageService } from "yaml-language-server";
import { methodNames } from "../methods/index.ts";
import { configSchema } from "./json-schema.ts";
import { CONFIG_KEYS, fieldOf, keysOf } from "./keys.ts";

const schema = configSchema();
const validate = new Ajv({ allErrors: true }).compile(schema);
const base = { model_name_or_path: "m", output_dir: "o", train_data: "a.jsonl" };

/** Values of every kind, right for some keys and wrong for others. */
const values: readonly unknown[] = [
  ...[
    null,
    true,
    false,
    0,
    1,
    -1,
    0.5,
    1.5,
    2,
    7,
    1e12,
    "",
    " ",
    "x",
    "auto",
    "no",
    "steps",
    "cuda:1",
    "cuda:x",
    "all-linear",
  ],
  ...[
    [],
    ["a"],
    [1],
    [""],
    [{ path: "a" }],
    [{ path: "a", weight: 0 }],
    ["a", { path: "b", weight: 2, split: null }],
  ],
  ...[
    {},
    { path: "a" },
    { prompt: "p" },
    { prompt: 1 },
    { unknown: 1 },
    { function: "length", unit: "words" },
    { function: 1 },
  ],
  ...[{ length: 6 }, { length: -1 }, { length: "x" }],
];

test("each value is accepted or refused as the key's own check does, with each objective", () => {
  for (const objective of methodNames) {
    for (const key of keysOf(objective)) {
      if (key === "objective") continue;
      for (const value of values as unknown[]) {
        const own: boolean = fieldOf(key, objective).check(value).success;
        const shown: string = `${objective}, ${key}: ${JSON.stringify(value)}`;
        assert.equal(validate({ ...base, objective, [key]: value }), own, shown);
      }
    }
  }
});

test("keys that are unknown, missing or of another objective are refused", () => {
  assert.equal(validate(base), true);
  for (const key of Object.keys(base)) assert.equal(validate({ ...base, [key]: undefined }), false, key);
  const { output_dir: _, ...without } = base;
  assert.equal(validate(without), false);
  for (const wrong of [
    { learning_rte: 1 },
    { beta: 0.1 },
    { objective: "dpo", lambda_w: 1 },
    { objective: "ppoo" },
  ]) {
    assert.equal(validate({ ...base, ...wrong }), false, JSON.stringify(wrong));
  }
  assert.equal(validate({ ...base, objective: "dpo", beta: 0.1 }), true);
});

test("every recipe is accepted", () => {
  const folder = join(import.meta.dirname, "../../recipes");
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".yaml"))) {
    assert.ok(
      validate(parse(readFileSync(join(folder, name), "utf8"))),
      `${name}: ${JSON.stringify(validate.errors)}`,
    );
  }
});

/** The YAML language server as editors run it, with this schema. */
function languageServer(): (text: string) => Promise<string[]> {
  const service = getLanguageService({
    schemaRequestService: async () => JSON.stringify(schema),
    workspaceContext: { resolveRelativePath: (path) => path },
  });
  service.configure({ validate: true, schemas: [{ uri: "run.schema.json", fileMatch: ["*.yaml"], schema }] });
  let files = 0;
  return async (text) => {
    const document = TextDocument.create(`file:///${files++}.yaml`, "yaml", 1, text);
    return (await service.doValidation(document, false)).map(({ message }) => String(message));
  };
}

test("the YAML language server agrees with ajv", async () => {
  const messagesOf = languageServer();
  for (const key of CONFIG_KEYS) {
    for (const value of [true, 1.5, -1, "x", ["a"], { unknown: 1 }]) {
      const file = { ...base, [key]: value };
      const messages = await messagesOf(stringify(file));
      assert.equal(
        messages.length === 0,
        validate(file),
        `${key}: ${JSON.stringify(value)}: ${messages.join("; ")}`,
      );
    }
  }
  const [message] = await messagesOf(stringify({ ...base, learning_rte: 1 }));
  assert.match(message ?? "", /learning_rte/);
});
