import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { DataError } from "../base/errors.ts";
import { JsonNumber } from "../text/json-number.ts";
import type { RawRow } from "./example.ts";
import { readRows } from "./sources.ts";

const folder = mkdtempSync(join(tmpdir(), "preftune-json-"));
after(() => rmSync(folder, { recursive: true }));

async function rowsOf(name: string, content: string): Promise<RawRow[]> {
  const path = join(folder, name);
  writeFileSync(path, content);
  const rows: RawRow[] = [];
  for await (const row of readRows({ path })) rows.push(row);
  return rows;
}

/** What each row says when its value is read: its keys, or the fault without the folder. */
async function told(name: string, content: string): Promise<string[]> {
  const rows = await rowsOf(name, content);
  return rows.map((row) => {
    try {
      return Object.keys(row.value).join();
    } catch (error) {
      assert.ok(error instanceof DataError);
      return error.message.replace(`${folder}/`, "");
    }
  });
}

test("a row that says two things is a fault of its own, named by file and line", async () => {
  const content =
    '{"a": 1, "b": {"c": 1, "c": 2}}\n{"a": 1}\n{"a": "\\ud83d"}\n{"\\udc00": 1}\n{"a": [1e999]}\n';
  assert.deepEqual(await told("two.jsonl", content), [
    'two.jsonl:1: expected one JSON object per line, but it gives the key "c" twice. Take one of them out.',
    "a",
    "two.jsonl:3: expected one JSON object per line, but it has \\ud83d, half of a surrogate pair and no character. Fix or remove it.",
    "two.jsonl:4: expected one JSON object per line, but it has \\udc00, half of a surrogate pair and no character. Fix or remove it.",
    "two.jsonl:5: expected one JSON object per line, but it has a number beyond the largest float. Fix or remove it.",
  ]);
});

test("a list in .json: the same faults, named by row", async () => {
  assert.deepEqual(await told("two.json", '[{"a": 1},\n {"a": {"x": 1, "x": 1}},\n {"b": 2}]\n'), [
    "a",
    'two.json:2: expected a JSON object, but it gives the key "x" twice. Take one of them out.',
    "b",
  ]);
});

test("a list in .json that is cut off or goes on is refused with the row", async () => {
  for (const [content, message] of [
    ['[{"a": 1}, {"a": ', /cut\.json:2: expected a JSON object, but the JSON ends too early/],
    [
      '[{"a": 1}, {"a": 2}',
      /cut\.json: expected a JSON list of rows, but it has no end\. Is the file cut short\?/,
    ],
    ['[{"a": 1}, {"a": 2}, ', /cut\.json:3: .*ends too early/],
    ['[{"a": 1}] {"a": 2}', /cut\.json: expected a JSON list of rows, but more stands behind its end/],
    ['[{"a": 1} {"a": 2}]', /cut\.json:1: expected a JSON object, but it is not valid JSON/],
    ['[{"a": [1}, 2]]', /cut\.json:1: expected a JSON object, but it is not valid JSON/],
    ['[\ufeff{"a": 1}]', /cut\.json:1: expected a JSON object, but it is not valid JSON/],
    ["[}", /cut\.json:1: expected a JSON object, but it is not valid JSON/],
    ['[{"a": 1}}', /cut\.json:1: expected a JSON object, but it is not valid JSON/],
    ['[{"a": NaN}]', /cut\.json:1: expected a JSON object, but it has NaN/],
  ] as const) {
    await assert.rejects(rowsOf("cut.json", content), message);
  }
  assert.deepEqual(await told("brackets.json", ' [ {"a": "]},{\\""} , {"b": [[], {}]} ] '), ["a", "b"]);
});

test("numbers of rows keep what JavaScript's numbers lose", async () => {
  const [row] = await rowsOf(
    "numbers.jsonl",
    '{"id": 1234567890123456789, "price": 1.0, "count": 3, "half": 0.5}\n',
  );
  const { id, price, count, half } = row?.value ?? {};
  assert.ok(id instanceof JsonNumber && price instanceof JsonNumber);
  assert.deepEqual([id.text, price.text, count, half], ["1234567890123456789", "1.0", 3, 0.5]);
});
