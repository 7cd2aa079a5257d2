/** Cells of CSV that are no value: as `datasets` 5.2.0 with pandas 3.1.1 reads them, which gives None for each word below. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { type NormalRow, normaliseRow, type RowOptions } from "./rows.ts";
import { readRows } from "./sources.ts";

const folder = mkdtempSync(join(tmpdir(), "preftune-missing-"));
after(() => rmSync(folder, { recursive: true }));

/** sorted(pandas._libs.parsers.STR_NA_VALUES), without "" */
const words = [
  ...["#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"],
  ...["<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"],
];
/** Those that pandas keeps as text. */
const texts = ["na", "none", "Null", " NA", "NA ", "-", "missing"];

async function normal(content: string, options: RowOptions, name = "rows.csv"): Promise<NormalRow[]> {
  const path = join(folder, name);
  writeFileSync(path, content);
  const rows: NormalRow[] = [];
  for await (const row of readRows({ path })) rows.push(normaliseRow(row, options));
  return rows;
}

test("in a column that a row may lack, such a cell is none; other words are text", async () => {
  const cells = ["", ...words, ...texts];
  const lines = cells.map((cell) => `"${cell}",Which colour?,Blue.,Green.\n`);
  const rows = await normal(`system,question,chosen,rejected\n${lines.join("")}`, { task: "preference" });
  const systems = rows.map(({ source }) => {
    const first = source?.kind === "chat" ? source.prompt[0] : undefined;
    return first?.role === "system" ? first.content : null;
  });
  assert.deepEqual(systems, ["", ...words].map((): string | null => null).concat(texts));
  assert.deepEqual(rows[1]?.columns, {
    used: ["question", "chosen", "rejected"],
    passedOver: [],
    doubtful: [],
  });
});

test("a margin, tools and an Alpaca input that are none are left out", async () => {
  const margin = "prompt,chosen,rejected,margin\na, b, c,1.5\na, b, c,NA\n";
  const margins = (await normal(margin, { task: "reward" })).map((row) => row.margin);
  assert.deepEqual(margins, [1.5, undefined]);
  const [chat] = await normal("instruction,input,output,tools\nGo.,NaN,Yes.,None\n", { task: "sft" });
  assert.ok(chat?.source?.kind === "chat");
  assert.deepEqual([chat.source.prompt, chat.source.tools], [[{ role: "user", content: "Go." }], null]);
});

test("a prompt or an answer of that kind is refused: as text it would be trained on, and datasets has no text there", async () => {
  for (const word of words) {
    for (const [column, line] of [
      ["prompt", `${word}, b, c`],
      ["chosen", `a,${word}, c`],
      ["rejected", `a, b,"${word}"`],
    ] as const) {
      await assert.rejects(normal(`prompt,chosen,rejected\n${line}\n`, { task: "preference" }), {
        name: "DataError",
        message:
          `${folder}/rows.csv:2, column "${column}": expected a text, got "${word}", which in CSV is no value, as pandas and ` +
          `datasets read it. Remove the row; or, if this is the text, write the rows as JSON lines.`,
      });
    }
  }
  for (const [content, message] of [
    ["text\nnull\n", /column "text": expected a text, got "null", which in CSV is no value/],
    ["prompt\tcompletion\na\tNone\n", /column "completion": expected a text, got "None"/],
    ["question\tanswer\na\tNone\n", /expected .*, found the columns question, answer \("None": no value\)/],
  ] as const) {
    await assert.rejects(
      normal(content, { task: "sft" }, content.includes("\t") ? "a.tsv" : "a.csv"),
      message,
    );
  }
});

test("the remedy: in JSON the same words are text", async () => {
  const [row] = await normal(
    '{"prompt": "Anything left?", "chosen": "None", "rejected": "NA"}\n',
    { task: "preference" },
    "rows.jsonl",
  );
  assert.deepEqual(row?.source, {
    kind: "text",
    prompt: "Anything left?",
    completions: ["None", "NA"],
    where: `${folder}/rows.jsonl:1`,
  });
});
