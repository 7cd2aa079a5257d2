/** `preftune data pair`: pairs of rows of one labelled answer. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { pairLabelled } from "./pair-labelled.ts";
import { normaliseRow } from "./rows.ts";

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

async function* rowsOf(values: readonly Record<string, unknown>[]) {
  for (const [i, value] of values.entries()) yield { origin: { file: "rows.jsonl", line: i + 1 }, value };
}

test("rows with both labels for a prompt are paired, all or the best with the worst, and what is left out is counted", async () => {
  const rated = (prompt: string, completion: string, rating: number) => ({ prompt, completion, rating });
  const rows = [
    ...[
      rated("a", " 5", 5),
      rated("a", " 4", 4),
      rated("a", " 1", 1),
      rated("a", " 2", 2),
      rated("a", " 2", 2),
    ],
    ...[rated("b", " 5", 5), rated("c", " 4", 4), rated("c", " 4", 1), rated("c", " 3", 1), { prompt: "d" }],
  ];
  const options = { rating_threshold: 3, invalid_rows: "drop" } as const;
  const all = await pairLabelled(rowsOf(rows), { ...options, pairing: "all" });
  assert.deepEqual(all.rows, [
    { prompt: "a", chosen: " 5", rejected: " 1" },
    { prompt: "a", chosen: " 5", rejected: " 2" },
    { prompt: "a", chosen: " 4", rejected: " 1" },
    { prompt: "a", chosen: " 4", rejected: " 2" },
  ]);
  assert.deepEqual(all.counts, {
    ...{ read: 10, invalid: 1, repeated: 1, contradictory: 1, prompts: 3, paired: 1, unpaired: 2, pairs: 4 },
  });
  const one = await pairLabelled(rowsOf(rows), { ...options, pairing: "best-worst" });
  assert.deepEqual(one.rows, [{ prompt: "a", chosen: " 5", rejected: " 1" }]);
  await assert.rejects(pairLabelled(rowsOf(rows), { pairing: "all", rating_threshold: 3 }), /rows\.jsonl:10/);
  // pairs split and paired again are the pairs
  const tools = [{ type: "function", function: { name: "f" } }];
  const chat = { prompt: [user("Which?")], tools };
  const split = [
    { ...chat, completion: [assistant("Blue.")], label: true },
    { ...chat, completion: [assistant("Green.")], label: false },
  ];
  const { rows: again } = await pairLabelled(rowsOf(split), { pairing: "all" });
  assert.deepEqual(again, [{ ...chat, chosen: [assistant("Blue.")], rejected: [assistant("Green.")] }]);
});

test("a row of token ids with a mask is refused: pairs have none, and what it leaves out would be learned", async () => {
  const row = (ids: number[], label: boolean, mask: number[]) => ({
    prompt_ids: [1],
    completion_ids: ids,
    completion_mask: mask,
    label,
  });
  const rows = [row([3, 4], true, [1, 1]), row([5, 6], false, [1, 1]), row([7, 8], false, [0, 1])];
  await assert.rejects(
    pairLabelled(rowsOf(rows), { pairing: "all" }),
    /^DataError: rows\.jsonl:3: expected a row whose whole answer counts.*completion_mask.*Remove the row/,
  );
  const { rows: pairs, counts } = await pairLabelled(rowsOf(rows), { pairing: "all", invalid_rows: "drop" });
  assert.deepEqual(pairs, [{ prompt_ids: [1], chosen_ids: [3, 4], rejected_ids: [5, 6] }]);
  assert.equal(counts.invalid, 1);
});

test("an answer behind a complete assistant's turn is no continuation of it in the pair either", async () => {
  const tools = [{ type: "function", function: { name: "f" } }];
  const before = [user("q"), assistant("one.")];
  const row = (content: string, label: boolean) => ({
    messages: [...before, assistant(content)],
    tools,
    label,
  });
  const { rows } = await pairLabelled(rowsOf([row("good", true), row("bad", false)]), { pairing: "all" });
  assert.deepEqual(rows, [
    { tools, chosen: [...before, assistant("good")], rejected: [...before, assistant("bad")] },
  ]);
  const read = (value: Record<string, unknown>) =>
    normaliseRow({ origin: { file: "pairs.jsonl", line: 1 }, value }, { task: "preference" }).source;
  const { where: _, ...source } = read(rows[0] ?? {}) ?? {};
  assert.deepEqual(source, {
    kind: "chat",
    prompt: before,
    completions: [[assistant("good")], [assistant("bad")]],
    tools,
  });
  // One that has begun the turn is written with its prompt, which says so.
  const begun = { prompt: before, completion: [assistant("good")] };
  const other = { prompt: before, completion: [assistant("bad")] };
  const both = [{ ...begun, label: true }, { ...other, label: false }, row("odd", false)];
  const { rows: again } = await pairLabelled(rowsOf(both), { pairing: "all" });
  assert.deepEqual(again, [{ prompt: before, chosen: [assistant("good")], rejected: [assistant("bad")] }]);
});

test("best-worst goes by the rating that stands beside a label", async () => {
  const rows = [
    ["good 3", 3],
    ["good 5", 5],
    ["bad 2", 2],
    ["bad 1", 1],
  ].map(([completion, rating]) => ({
    prompt: "p",
    completion,
    rating,
    label: String(completion).startsWith("good"),
  }));
  const { rows: pairs } = await pairLabelled(rowsOf(rows), { pairing: "best-worst" });
  assert.deepEqual(pairs, [{ prompt: "p", chosen: "good 5", rejected: "bad 1" }]);
});

test("answers that are JSON of messages are refused with the option, or taken as text where that is said", async () => {
  const request = JSON.stringify({ messages: [{ role: "user", content: "hi" }] });
  const rows = [
    { prompt: "p", completion: request, label: true },
    { prompt: "p", completion: "no", label: false },
  ];
  const options = { pairing: "all", mayTakeText: true } as const;
  await assert.rejects(
    pairLabelled(rowsOf(rows), options),
    /set plain_strings: text \(a command's --plain-strings text\)\.$/,
  );
  const { rows: pairs } = await pairLabelled(rowsOf(rows), { ...options, strings: "text" });
  assert.deepEqual(pairs, [{ prompt: "p", chosen: request, rejected: "no" }]);
});
