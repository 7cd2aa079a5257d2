/** A tokenizer's files beside a model, with its own chat templates or with one in the place of the default. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { copyTokenizer } from "./copy-tokenizer.ts";

const list = [
  { name: "default", template: "own" },
  { name: "tool_use", template: "tools" },
  { name: "rag", template: "documents" },
];

test("a template in the place of a list's default: others stay but that for tools, which would be taken for rows with tools", async () => {
  await withToyTokenizer({ config: { chat_template: list } }, (directory) => {
    const tokenizer = loadTokenizer(directory);
    const written = (chatTemplate: string | null, name: string) => {
      const dir = join(directory, name);
      mkdirSync(dir);
      copyTokenizer(dir, { tokenizer, chatTemplate });
      return loadTokenizer(dir).chatTemplates;
    };
    assert.deepEqual(written(null, "same"), tokenizer.chatTemplates);
    assert.deepEqual(written("chosen", "other"), { default: "chosen", named: { rag: "documents" } });
    // the one for tools itself: a further run may name it again
    assert.deepEqual(written("tools", "tools"), {
      default: "tools",
      named: { tool_use: "tools", rag: "documents" },
    });
  });
});

test("of template files the default one is replaced", async () => {
  await withToyTokenizer({}, (directory) => {
    writeFileSync(join(directory, "chat_template.jinja"), "own");
    mkdirSync(join(directory, "additional_chat_templates"));
    writeFileSync(join(directory, "additional_chat_templates", "tool_use.jinja"), "tools");
    const dir = join(directory, "copy");
    mkdirSync(dir);
    copyTokenizer(dir, { tokenizer: loadTokenizer(directory), chatTemplate: "chosen" });
    assert.deepEqual(loadTokenizer(dir).chatTemplates, { default: "chosen", named: {} });
  });
});
