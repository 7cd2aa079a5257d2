import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { ConfigError, FormatError } from "../base/errors.ts";
import { chatTemplateSource, keyReader } from "./template-source.ts";
import { loadTokenizer } from "./tokenizer.ts";

const named = [
  { name: "default", template: "own" },
  { name: "tool_use", template: "tools" },
  { name: "rag", template: "rag" },
];

test("the tokenizer's own template, or the one for tools", async () => {
  await withToyTokenizer({ chatTemplate: named }, (directory) => {
    const tokenizer = loadTokenizer(directory);
    assert.equal(chatTemplateSource(tokenizer, null, false), "own");
    assert.equal(chatTemplateSource(tokenizer, null, true), "tools");
    assert.equal(chatTemplateSource(tokenizer, "rag", true), "rag");
    assert.equal(chatTemplateSource(tokenizer, "default", true), "own");
  });
  await withToyTokenizer({ chatTemplate: "own" }, (directory) => {
    assert.equal(chatTemplateSource(loadTokenizer(directory), null, true), "own");
  });
});

test("a file or text given instead", async () => {
  await withToyTokenizer({}, (directory) => {
    const file = join(directory, "mine.jinja");
    writeFileSync(file, "from file");
    const tokenizer = loadTokenizer(directory);
    assert.equal(chatTemplateSource(tokenizer, file, false), "from file");
    assert.equal(chatTemplateSource(tokenizer, "{{ messages }}", false), "{{ messages }}");
    assert.throws(() => chatTemplateSource(tokenizer, directory, false), ConfigError);
  });
});

test("what is missing is said, with the remedy", async () => {
  await withToyTokenizer({}, (directory) => {
    const tokenizer = loadTokenizer(directory);
    assert.throws(
      () => chatTemplateSource(tokenizer, null, false),
      (error) =>
        error instanceof FormatError && /there is none .* Give a file with chat_template/.test(error.message),
    );
  });
  await withToyTokenizer({ chatTemplate: named.slice(1) }, (directory) => {
    const tokenizer = loadTokenizer(directory);
    assert.throws(() => chatTemplateSource(tokenizer, null, false), /it only has tool_use, rag\. Name one/);
    assert.throws(
      () => chatTemplateSource(tokenizer, "tool_us", false),
      (error) => error instanceof ConfigError && /Did you mean "tool_use"\?/.test(error.message),
    );
  });
});

test("a template reads a key that it names as a whole word, and every key of messages that it writes whole", () => {
  const reads = keyReader(["{% if enable_thinking %}{{ m.tool_plan }}{% endif %}", "{{ m['a.b'] }}"]);
  assert.deepEqual(["thinking", "tool_plan", "plan", "a.b", "a-b"].map(reads), [
    false,
    true,
    false,
    true,
    false,
  ]);
  assert.equal(keyReader(["{{ message | tojson }}"])("thinking"), true);
});
