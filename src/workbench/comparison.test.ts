/** What makes two pairs one item: prompt and answers, and what the template is given besides. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { scratch } from "../../test/support/scratch.ts";
import { sha256 } from "../base/files.ts";
import { type Comparison, itemIdOf } from "./comparison.ts";
import { exportLabels } from "./export-labels.ts";
import { importFiles } from "./import-comparisons.ts";
import { LabelStore } from "./label-store.ts";

const dir = mkdtempSync(join(scratch(), "preftune-items-"));
after(() => rmSync(dir, { recursive: true, force: true }));
let files = 0;

async function imported(...rows: string[]): Promise<Comparison[]> {
  const path = join(dir, `rows-${files++}.jsonl`);
  writeFileSync(path, rows.join("\n"));
  return (await importFiles(path)).comparisons;
}

const toolOf = (name: string, most = "1.0"): string =>
  `[{"type":"function","function":{"name":"${name}","parameters":{"maximum":${most}}}}]`;
const say = (role: string, content: string): string => `[{"role":"${role}","content":"${content}"}]`;
const prompt = `"prompt":${say("user", "Book a table.")}`;
const pairOf = (others: string): string =>
  `{${prompt},"chosen":${say("assistant", "I cannot.")},"rejected":${say("assistant", "Done.")}${others}}`;
const tableOf = (others: string): string =>
  `{${prompt},"answer_a":${say("assistant", "I cannot.")},"answer_b":${say("assistant", "Done.")},"better":"a"${others}}`;

test("pairs that differ in tools or variables of the template alone are several items, and each is exported with its own", async () => {
  const others = [
    "",
    `,"tools":${toolOf("weather")}`,
    `,"tools":${toolOf("calendar")}`,
    // another number is another prompt
    `,"tools":${toolOf("calendar", "1")}`,
    `,"tools":${toolOf("weather")},"chat_template_kwargs":{"enable_thinking":false}`,
    ',"chat_template_kwargs":{"enable_thinking":false}',
    ',"chat_template_kwargs":{"enable_thinking":true}',
  ];
  for (const rowOf of [pairOf, tableOf]) {
    using store = new LabelStore(join(dir, `${rowOf.name}.sqlite`));
    const comparisons = await imported(...others.map(rowOf));
    assert.deepEqual(store.add(comparisons), { items: 7, known: 0, votes: 7 });
    assert.deepEqual(store.add(comparisons), { items: 0, known: 7, votes: 0 });
    const given = exportLabels(store).rows.map(
      ({ prompt: _, chosen, rejected: __, meta: ___, ...inputs }) => {
        assert.equal(JSON.stringify(chosen), say("assistant", "I cannot."));
        return JSON.stringify(inputs);
      },
    );
    assert.deepEqual(given.toSorted(), others.map((one) => `{${one.slice(1)}}`).toSorted());
  }
});

test("an item is the same from any form, with tools as JSON in a text too, and whatever else its row says", async () => {
  const both = `,"tools":${toolOf("weather")},"chat_template_kwargs":{"a":1}`;
  const asText = `,"tools":${JSON.stringify(toolOf("weather"))},"chat_template_kwargs":${JSON.stringify('{"a":1}')},"topic":3`;
  const comparisons = await imported(pairOf(both), pairOf(asText), tableOf(both), tableOf(asText));
  assert.equal(new Set(comparisons.map(itemIdOf)).size, 1);
  const nothing = [
    "",
    ',"tools":null',
    ',"tools":"","chat_template_kwargs":{}',
    ',"chat_template_kwargs":null',
  ];
  const bare = await imported(...nothing.map(pairOf), ...nothing.map(tableOf));
  assert.equal(new Set(bare.map(itemIdOf)).size, 1);
  await assert.rejects(
    imported(tableOf(',"tools":"hammer"')),
    /:1, column "tools": expected "tools" to be a list/,
  );
  await assert.rejects(
    imported(tableOf(',"chat_template_kwargs":[]')),
    /:1, column "chat_template_kwargs": expected/,
  );
});

test("without tools and variables an item keeps the id that workbenches have", () => {
  const given = { prompt: "x", answers: ["yes", "no"], models: [null, null], votes: [] } as const;
  const before = sha256('["x",["no","yes"]]');
  assert.equal(before, "89c5daffd318c8591785f7bd168f3f52790a311f1575ef3577cee03d94d1a26a");
  for (const extra of [{}, { topic: 3 }, { tools: null, chat_template_kwargs: {} }])
    assert.equal(itemIdOf({ ...given, extra }), before);
});
