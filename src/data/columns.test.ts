/** No column of a row is lost: each is used or listed, whatever columns a row has. */
import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { columnNames } from "../base/column-names.ts";
import { DataError } from "../base/errors.ts";
import { mayBePrompt, meaningHint } from "./column-hints.ts";
import { normaliseRow, type RowOptions } from "./rows.ts";

const origin = { file: "rows.jsonl", line: 1 };
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

const names = [
  ...columnNames,
  ...["system_prompt", "conversation", "chosen_response", "preferred_output", "rejected_response"],
  ...["source", "score", "promt", "context", "label", "post", "x.y"],
];
const values: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    "The sky is blue.",
    "The sky is green.",
    "",
    null,
    3,
    true,
    [1, 2],
    -1.5,
    [],
    [user("Which colour?")],
    [user("Which colour?"), assistant("Blue.")],
    [user("Which colour?"), assistant("Green.")],
    assistant("Blue."),
    { messages: [user("Which colour?")], seed: 1 },
    [{ from: "human", value: "Which colour?" }],
    [["a", "b"]],
    '[{"role": "user", "content": "Which colour?"}]',
  ),
);
const anyRow = fc.dictionary(fc.constantFrom(...names), values, { maxKeys: 7, noNullPrototype: true });
const goodRow = fc
  .tuple(
    anyRow,
    fc.constantFrom("The sky is blue.", [assistant("Blue.")]),
    fc.constantFrom("The sky is green.", [assistant("Green.")]),
  )
  .map(([row, chosen, rejected]) => ({ ...row, chosen, rejected }));

const isEmpty = (value: unknown): boolean =>
  value === null || value === "" || (Array.isArray(value) && value.length === 0);

test("every column with a value is used or listed as passed over, and none is both", () => {
  const task = fc.constantFrom<RowOptions["task"]>("preference", "sft");
  let read = 0;
  fc.assert(
    fc.property(fc.oneof(anyRow, goodRow), task, (row, rowTask) => {
      try {
        const { columns, source } = normaliseRow({ origin, value: row }, { task: rowTask });
        read++;
        const listed = [...columns.used, ...columns.passedOver];
        assert.equal(new Set(listed).size, listed.length);
        const tops = new Set(listed.map((path) => (Object.hasOwn(row, path) ? path : path.split(".")[0])));
        for (const [column, value] of Object.entries(row)) {
          assert.ok(isEmpty(value) || tops.has(column), `${column} of ${JSON.stringify(row)}`);
        }
        for (const column of columns.doubtful) assert.ok(columns.passedOver.includes(column));
        // A prompt taken from plain answers: no column could have been it.
        const isPlain = source?.kind === "text" && source.completions.length === 2;
        if (isPlain && !columns.used.includes("prompt")) {
          assert.deepEqual(
            columns.passedOver.filter((column) =>
              mayBePrompt(column, (row as Record<string, unknown>)[column]),
            ),
            [],
          );
        }
      } catch (error) {
        if (!(error instanceof DataError)) throw error;
        assert.match(error.message, /^rows\.jsonl:1/);
      }
    }),
    { numRuns: 3000 },
  );
  assert.ok(read > 50, `${read} rows were read`);
});

test("a column passed over is named with a mapping where that would use it", () => {
  assert.equal(meaningHint("system_message", ["prompt"]), ' As "system": columns: {system: system_message}.');
  assert.equal(meaningHint("context", ["instruction"]), ' As "input": columns: {input: context}.');
  assert.equal(meaningHint("tool", []), ' As "tools": columns: {tools: tool}.');
  for (const [column, used] of [
    ["context", ["prompt"]],
    ["system_message", ["system"]],
    ["promt", ["prompt"]],
    ["answer", ["prompt"]],
  ] as const) {
    assert.equal(meaningHint(column, [...used]), "", column);
  }
});

test("a mapped way into objects through a null, or to a field that the file's schema alone knows, is no value", () => {
  const columns = { prompt: "q.text", system: "meta.system" };
  const source = (meta: unknown, isField?: (path: string) => boolean) => {
    const value = { q: { text: "Which colour?" }, chosen: "Blue.", rejected: "Green.", meta };
    const row = { origin, value, ...(isField === undefined ? {} : { isField }) };
    return normaliseRow(row, { task: "preference", columns }).source;
  };
  const none = source({ system: null });
  assert.ok(none?.kind === "chat");
  assert.deepEqual(none.prompt, [user("Which colour?")]);
  assert.deepEqual(source(null), none);
  assert.deepEqual(
    source({}, (path) => path === "meta.system"),
    none,
  );
  for (const meta of [{}, { sytem: "Be brief." }, "text", undefined]) {
    assert.throws(() => source(meta, (path) => path === "meta.sytem"), /expected a column "meta\.system"/);
  }
});
