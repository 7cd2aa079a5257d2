/** Numbers of tool calls and tools keep their spelling from the file through the workbench to what is trained on. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { scratch } from "../../test/support/scratch.ts";
import { exportLabels } from "./export-labels.ts";
import { importFiles } from "./import-comparisons.ts";
import { LabelStore } from "./label-store.ts";
import { openVersion, removedRows, saveVersion, versionPaths } from "./versions.ts";

const dir = mkdtempSync(join(scratch(), "preftune-numbers-"));
after(() => rmSync(dir, { recursive: true, force: true }));

/** As Python's `json.dumps` writes them; all but the last two JSON.parse makes others of. */
const numbers =
  '{"id":1234567890123456789,"price":1.0,"many":2.5e+20,"none":-0.0,"plain":2.5,"small":0.0001}';
const call = `[{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"order","arguments":${numbers}}}]}]`;
const tools = '[{"type":"function","function":{"name":"order","parameters":{"maximum":100.0}}}]';
const variables = '{"budget":1e+16}';
const row =
  `{"prompt":[{"role":"user","content":"Order?"}],"chosen":${call},"rejected":[{"role":"assistant","content":"No."}],` +
  `"tools":${tools},"chat_template_kwargs":${variables},"row_id":9007199254740993}`;

const expected = [numbers, `"tools":${tools}`, `"chat_template_kwargs":${variables}`];

function holdsAll(text: string): void {
  for (const part of expected) assert.ok(text.includes(part), `${part} is not in ${text}`);
}

test("an export writes the numbers of its file, of pairs and of single answers, also when models were named later", async () => {
  const [file, named] = [join(dir, "calls.jsonl"), join(dir, "named.jsonl")];
  writeFileSync(file, `${row}\n`);
  const { comparisons } = await importFiles(file);
  using store = new LabelStore(join(dir, "labels.sqlite"));
  store.add(comparisons);
  for (const rows of ["pairs", "kto"] as const) {
    const text = JSON.stringify(exportLabels(store, { rows }).rows);
    holdsAll(text);
    assert.ok(text.includes('{\\"row_id\\":9007199254740993}'), text);
  }
  // the item is written again when its models become known
  const table = `{"prompt":[{"role":"user","content":"Order?"}],"answer_a":${call},"answer_b":"No.","model_a":"one"}`;
  writeFileSync(named, `${table.replace('"No."', '[{"role":"assistant","content":"No."}]')}\n`);
  const [again] = (await importFiles(named)).comparisons;
  assert.ok(again);
  store.add([{ ...again, extra: comparisons[0]?.extra ?? {} }]);
  holdsAll(JSON.stringify(exportLabels(store).rows));
  assert.match(JSON.stringify(exportLabels(store).rows), /"chosen":"one"/);
});

test("the rows of a version are looked at with the numbers that they are trained with", async () => {
  const value: unknown = (await importFiles(join(dir, "calls.jsonl"))).comparisons[0]?.extra;
  const about = { by: "clean", sources: {}, rules: {}, counts: {} } as const;
  const { digest } = await saveVersion(dir, [{ value }], about, [{ filter: "f", origin: "x:1", row: value }]);
  const { kept } = await openVersion(dir, digest);
  const written = readFileSync(versionPaths(dir, digest).rows, "utf8");
  assert.equal(`${JSON.stringify(kept.page(null, 0, 1)[0]?.value)}\n`, written);
  assert.ok(written.includes('"maximum":100.0'), written);
  assert.deepEqual(removedRows(dir, digest)[0]?.row, value);
});

test("texts that end within a character, as a model may write them, are read as they were kept", () => {
  using store = new LabelStore(join(dir, "halves.sqlite"));
  const answers = ["An answer \ud83d", "\ud800"] as const;
  const given = { prompt: "x", answers, models: [null, null], votes: [], extra: {} } as const;
  store.add([given]);
  const { comparison } = store.item(store.order[0] ?? "");
  assert.deepEqual(comparison.answers.toSorted(), [...answers].toSorted());
});
