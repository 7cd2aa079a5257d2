/** Who judged, where a file counts people by numbers. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { scratch } from "../../../test/support/scratch.ts";
import { type Imported, importFiles } from "../import-comparisons.ts";

const dir = mkdtempSync(join(scratch(), "preftune-names-"));
after(() => rmSync(dir, { recursive: true, force: true }));
let files = 0;

function imported(text: string): Promise<Imported> {
  const path = join(dir, `rows-${files++}.jsonl`);
  writeFileSync(path, text);
  return importFiles(path);
}

/** A number as a file writes it, and the name that it is. */
const names = [
  ["7", "7"],
  // pandas makes floats of a column with gaps
  ["7.0", "7"],
  ["0.0", "0"],
  ["2.5", "2.5"],
  ["1234567890123456789", "1234567890123456789"],
  ['"ann"', "ann"],
  ['""', null],
  ["null", null],
] as const;

const answers = '"prompt":"p","answer_a":"x","answer_b":"y"';

test("a number names its person in every form, also as a float and beyond 2^53", async () => {
  const turns = (answer: string) =>
    `[{"role":"user","content":"p"},{"role":"assistant","content":"${answer}"}]`;
  const message = (id: string, parent: string, role: string) =>
    `"${id}":{"parentId":${parent},"role":"${role}","content":"${id}"}`;
  const history = [
    message("q", "null", "user"),
    message("x", '"q"', "assistant"),
    message("y", '"q"', "assistant"),
  ];
  const forms: Record<string, (name: string) => string> = {
    table: (name) => `{${answers},"better":"a","annotator":${name}}`,
    battles: (name) =>
      `{"conversation_a":${turns("x")},"conversation_b":${turns("y")},"winner":"model_a","judge":${name}}`,
    "label-studio": (name) =>
      `{"data":{"prompt":"p","answer1":"x","answer2":"y"},"annotations":[{"completed_by":${name},"result":[{"type":"pairwise","value":{"selected":"left"}}]}]}`,
    argilla: (name) =>
      `{"fields":{"prompt":"p","response-1":"x","response-2":"y"},"responses":{"q":[{"value":"response-1","user_id":${name}}]}}`,
    "open-webui": (name) =>
      `{"user_id":${name},"data":{"rating":1.0},"meta":{"message_id":"x"},"snapshot":{"chat":{"history":{"messages":{${history.join()}}}}}}`,
  };
  for (const [form, rowOf] of Object.entries(forms)) {
    const read = await imported(names.map(([name]) => rowOf(name)).join("\n"));
    assert.deepEqual(read.forms, { [form]: names.length });
    const votes = read.comparisons.map((comparison) => comparison.votes);
    assert.deepEqual(
      votes,
      names.map(([, person]) => [{ person, choice: "a" }]),
      form,
    );
  }
});

test("a table's verdict may be a whole float", async () => {
  const given = ["1", "2", "1.0", "2.0"];
  const { comparisons } = await imported(given.map((better) => `{${answers},"better":${better}}`).join("\n"));
  assert.deepEqual(
    comparisons.map(({ votes }) => votes[0]?.choice),
    ["a", "b", "a", "b"],
  );
  for (const other of ["3.0", "1.5", "true"])
    await assert.rejects(
      imported(`{${answers},"better":${other}}`),
      /:1, "better": expected a, b, tie/,
      other,
    );
});
