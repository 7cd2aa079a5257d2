import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CONFIG_KEYS } from "../src/config/keys.ts";
import { type NormalRow, normaliseRow, type Task } from "../src/data/rows.ts";
import { documents, fillTables, table } from "./write-docs.ts";

const root = join(import.meta.dirname, "..");
const read = (path: string) => readFileSync(join(root, path), "utf8");

for (const [path, text] of Object.entries(documents(root))) {
  test(`${path} is what the code says`, () => {
    assert.equal(read(path), text, `${path} is stale: npm run docs`);
  });
}

test("cells cannot break a table", () => {
  assert.equal(table(["a", "b"], [["x|y", "1\n2"]]), "| a | b |\n| --- | --- |\n| x\\|y | 1 2 |");
});

test("a marked table is written again, whatever was there; an unknown one is refused", () => {
  const marked = (inside: string) => `before\n<!-- table: findings -->\n${inside}\n<!-- end -->\nafter`;
  const filled = fillTables(marked("stale"));
  assert.match(
    filled,
    /^before\n<!-- table: findings -->\n\nFaults of rows[\s\S]*identical_pair[\s\S]*<!-- end -->\nafter$/,
  );
  assert.doesNotMatch(filled, /stale/);
  assert.equal(fillTables(filled), filled);
  assert.throws(
    () => fillTables("<!-- table: nothing -->\n\n<!-- end -->"),
    /there is no table "nothing", only/,
  );
});

test("every key of the configuration has one row", () => {
  const text = read("docs/configuration.md");
  for (const key of CONFIG_KEYS) assert.equal(text.split(`\n| \`${key}\` | `).length, 2, key);
});

function formOf(row: NormalRow): string {
  return row.source === null ? "tokens" : row.source.kind;
}

test("every row that docs/data.md shows is read as the form it is shown for", () => {
  const blocks = [...read("docs/data.md").matchAll(/^```jsonl (\w+) (\w+)\n([\s\S]*?)^```$/gm)];
  assert.ok(blocks.length >= 15, `${blocks.length} examples`);
  for (const [, task, form, rows = ""] of blocks) {
    for (const line of rows.trim().split("\n")) {
      const row = normaliseRow(
        { origin: { file: "data.md", line: 1 }, value: JSON.parse(line) },
        { task: task as Task, rating_threshold: 3 },
      );
      assert.equal(formOf(row), form, line);
    }
  }
});

test("the implied floors in docs/objectives.md are what its command prints", () => {
  const [, program, printed] =
    /^```sh\nnode -e '\n([\s\S]*?)'\n```\n\n```text\n([\s\S]*?)```$/m.exec(read("docs/objectives.md")) ?? [];
  assert.ok(program !== undefined && printed !== undefined);
  assert.equal(execFileSync(process.execPath, ["-e", program], { encoding: "utf8" }), printed);
});

test("every objective has its paper in the source and its section in docs/objectives.md", () => {
  const output = execFileSync(process.execPath, [join(root, "scripts", "check-documentation.ts")], {
    encoding: "utf8",
  });
  assert.equal(output, "");
});
