/** Numbers and nulls from each kind of file to the text of a prompt, as transformers writes them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import type { SchemaTree } from "hyparquet";

import { golden } from "../../test/support/goldens.ts";
import { refuseReordered } from "../text/messages.ts";
import { createRenderer } from "../text/template.ts";
import { columnConverters } from "./parquet-values.ts";
import { normaliseRow } from "./rows.ts";
import { readRows } from "./sources.ts";

const folder = mkdtempSync(join(tmpdir(), "preftune-spelling-"));
after(() => rmSync(folder, { recursive: true }));

const template =
  "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c | tojson }}\n{% endfor %}{% endfor %}" +
  "{{ tools | tojson }}\n{% if limit is defined %}{{ limit }} {{ limit | tojson }}{% endif %}";

/** What the template writes for the first row of a file. */
async function written(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  writeFileSync(path, content);
  await using renderer = createRenderer(template);
  for await (const row of readRows({ path })) {
    const { source } = normaliseRow(row, { task: "sft" });
    assert.ok(source?.kind === "conversation");
    const { messages, tools = null, variables = {} } = source;
    const [text] = await renderer.render([{ messages, tools, variables, addGenerationPrompt: false }]);
    return text ?? "";
  }
  throw new Error("no rows");
}

const call =
  '{"type": "function", "function": {"name": "f", "arguments": {"id": 1234567890123456789, "price": 1.0, "tiny": 1e-07, "note": null}}}';
const messages = `[{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": [${call}]}]`;
const tools =
  '[{"type": "function", "function": {"name": "f", "parameters": {"minimum": -0.0, "maximum": 2.5e+20, "default": null}}}]';
const kwargs = '{"limit": 1E5}';

// transformers 5.23 (tojson of json.loads) writes the numbers of these texts as they stand, and 1E5 as 100000.0.
const expected = `${call}\n${tools}\n100000.0 100000.0`;

test("numbers and nulls of JSON are written as they stand, in columns, in strings and in cells of CSV", async () => {
  const text = (json: string): string => JSON.stringify(json);
  const cell = (json: string): string => `"${json.replaceAll('"', '""')}"`;
  const columns = `{"messages": ${messages}, "tools": ${tools}, "chat_template_kwargs": ${kwargs}}`;
  const strings = `{"messages": ${text(messages)}, "tools": ${text(tools)}, "chat_template_kwargs": ${text(kwargs)}}`;
  const csv = `messages,tools,chat_template_kwargs\n${cell(messages)},${cell(tools)},${cell(kwargs)}\n`;
  assert.equal(await written("columns.jsonl", `${columns}\n`), expected);
  assert.equal(await written("list.json", `[${columns}]`), expected);
  assert.equal(await written("strings.jsonl", `${strings}\n`), expected);
  assert.equal(await written("cells.csv", csv), expected);
});

test("of Parquet, floats and long integers are written as such, and fields that a row did not have are not", async () => {
  const { files } = golden<{ files: { name: string; file: string }[] }>("parquet");
  for (const name of ["snappy-1.0", "lz4-2.0", "polars-zstd"]) {
    const file = Buffer.from(files.find((each) => each.name === name)?.file ?? "", "base64");
    // the row's calls as they were before Parquet, by json.dumps
    assert.equal(
      await written(`${name}.parquet`, file),
      '{"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}\n' +
        '{"type": "function", "function": {"name": "order", "arguments": {"count": 3, "price": 1.0, "tags": []}}}\n' +
        "null\n",
    );
  }
});

test("margins and log-probs in cells of a table are decimal numbers", () => {
  const origin = { file: "a.csv", line: 2 };
  const row = { prompt: "p", chosen: "a", rejected: "b" };
  const read = (value: object, task: "reward" | "preference" = "reward") =>
    normaliseRow({ origin, value: { ...row, ...value }, isText: true }, { task });
  assert.equal(read({ margin: "1.5" }).margin, 1.5);
  for (const margin of [" ", "0b1"])
    assert.throws(() => read({ margin }), /"margin": expected a finite number/);
  const logps = { ref_chosen_logps: "-1e1", ref_rejected_logps: " " };
  assert.throws(() => read(logps, "preference"), /"ref_rejected_logps": expected a finite number/);
});

test("values that Parquet has and JSON lacks are named where a text or a number is expected", () => {
  const row = { prompt: "a", chosen: " b", rejected: " c", margin: 1 };
  for (const [value, message] of [
    [{ margin: Number.NaN }, /"margin": expected a finite number \(.*\), got NaN or Infinity\./],
    [{ prompt: new Date(0) }, /"prompt": expected a string or a list of messages .*, got a date or time\./],
    [{ chosen: Uint8Array.of(255) }, /"chosen": expected a string or a list of messages .*, got bytes\./],
  ] as const) {
    const given = { origin: { file: "a.parquet", line: 2 }, value: { ...row, ...value } };
    assert.throws(() => normaliseRow(given, { task: "reward" }), message);
  }
});

test("fields of Parquet keep the schema's order, or are refused where a template would get them", () => {
  const node = (name: string, children: SchemaTree[] = [], converted?: "MAP"): SchemaTree => ({
    ...{ children, count: 1, maxRepetitionLevel: 0, maxDefinitionLevel: 0, path: [name] },
    element: {
      name,
      repetition_type: "OPTIONAL",
      ...(converted === undefined ? {} : { converted_type: converted }),
    },
  });
  const struct = (...names: string[]) =>
    node(
      "x",
      names.map((name) => node(name)),
    );
  const pairs = node("key_value", [node("key"), node("value")]);
  pairs.element.repetition_type = "REPEATED";
  const keyed = node("x", [pairs], "MAP");
  const entries = (...keys: string[]) => ({ key_value: keys.map((key) => ({ key, value: 1 })) });
  const read = (schema: SchemaTree, value: object) =>
    columnConverters(node("root", [schema])).get("x")?.(value);
  assert.deepEqual(Object.keys(Object(read(struct("b", "a"), { a: 1, b: 2 }))), ["b", "a"]);
  assert.throws(() => refuseReordered(read(struct("y", "5"), { 5: 1, y: 2 }), "a"), /got "5"/);
  refuseReordered(read(struct("5", "y"), { 5: 1, y: 2 }), "a");
  refuseReordered(read(struct("y", "5"), { y: 2, 5: undefined }), "a");
  assert.throws(() => refuseReordered(read(keyed, entries("y", "5")), "a"), /got "5"/);
  assert.deepEqual(read(keyed, entries("5", "y")), { 5: 1, y: 1 });
  refuseReordered(read(keyed, entries("5", "y")), "a");
});
