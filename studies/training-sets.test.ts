/** Disjoint training sets, and what a study of such refuses. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { runFixture } from "../test/support/runs.ts";
import { tinyStudy } from "../test/support/study.ts";
import { writeRows } from "../test/support/tiny-model.ts";
import { study } from "./study.ts";
import { trainingSets } from "./training-sets.ts";

test("sets share no row, have all rows together, and are the same again", async () => {
  using place = runFixture({ rows: 7, held: 0 });
  const { train_data } = place.values;
  const sets = await trainingSets(place.path("study"), { train_data }, 3);
  const rowsOf = (file: string): unknown[] =>
    readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  const rows = sets.map(rowsOf);
  assert.deepEqual(
    rows.map(({ length }) => length),
    [3, 2, 2],
  );
  const all = rowsOf(String(train_data)).map((row) => JSON.stringify(row));
  assert.deepEqual(
    rows
      .flat()
      .map((row) => JSON.stringify(row))
      .sort(),
    all.sort(),
  );
  assert.deepEqual(await trainingSets(place.path("study"), { train_data }, 3), sets);
  const others = place.path("others.jsonl");
  writeFileSync(
    others,
    readFileSync(String(train_data), "utf8").split("\n").reverse().join("\n").trimStart(),
  );
  await assert.rejects(
    trainingSets(place.path("study"), { train_data: others }, 3),
    /set-1-of-3\.jsonl: expected rows of .*others\.jsonl, got others: .*another --output/,
  );
  await assert.rejects(
    trainingSets(place.path("study"), { train_data }, 8),
    /rows of at least 8 prompts, one for each training set, got 7.*--seeds/,
  );
  await assert.rejects(trainingSets(place.path("study"), {}, 2), /name their file with --data/);
});

test("sets share no prompt, whatever its columns are called", async () => {
  using place = runFixture({ rows: 0, held: 0 });
  // four answers to each of three prompts, one after the other, as ranked rows are written
  const rows = ["a", "b", "c"].flatMap((question) =>
    [1, 2, 3, 4].map((i) => ({ question, chosen: `good ${i}`, rejected: `bad ${i}` })),
  );
  const asked = [{ role: "user", content: "d" }];
  const chats = [1, 2].map((i) => ({
    prompt: asked,
    chosen: [{ role: "assistant", content: `good ${i}` }],
    rejected: [{ role: "assistant", content: `bad ${i}` }],
  }));
  const promptsIn = (files: readonly string[]): string[][] =>
    files.map((file) => {
      const lines = readFileSync(file, "utf8").trim().split("\n");
      return lines.map((line) => JSON.stringify(JSON.parse(line).question ?? JSON.parse(line).prompt));
    });
  const path = writeRows(place.path("rows.jsonl"), rows);
  const sets = await trainingSets(place.path("ranked"), { train_data: path }, 3, { prompt: "question" });
  assert.deepEqual(
    promptsIn(sets).map((own) => [own.length, new Set(own).size]),
    [
      [4, 1],
      [4, 1],
      [4, 1],
    ],
  );
  const texts = rows.map(({ question, ...answers }) => ({ prompt: question, ...answers }));
  const both = writeRows(place.path("both.jsonl"), [...chats, ...texts]);
  const [one = [], other = []] = promptsIn(await trainingSets(place.path("both"), { train_data: both }, 2));
  assert.deepEqual([one.length, other.length], [6, 8]);
  assert.ok(one.every((prompt) => !other.includes(prompt)));
});

test("columns given on the command line are read as a training reads them", async () => {
  using place = runFixture({ rows: 0, held: 2 });
  const rows = ["a", "b", "c"].flatMap((question) =>
    [1, 2, 3, 4].map((i) => ({ question, chosen: `good ${i}`, rejected: `bad ${i}` })),
  );
  const data = writeRows(place.path("rows.jsonl"), rows);
  // stopped before its first run: what it divides is there
  const stopped = { seeds: 3, data, signal: AbortSignal.abort() };
  const options = { ...tinyStudy(place, "frontier", { columns: "prompt=question" }), ...stopped };
  await assert.rejects(study(options), /0 of \d+ runs are finished/);
  for (const number of [1, 2, 3]) {
    const text = readFileSync(place.path("frontier", "setup", `set-${number}-of-3.jsonl`), "utf8");
    const prompts = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).question);
    assert.deepEqual(prompts, Array(4).fill("abc"[number - 1]));
  }
  const wrong = { ...tinyStudy(place, "geometry", { columns: "prompt=asked" }), ...stopped };
  await assert.rejects(study(wrong), /rows\.jsonl:1: expected a column "asked"/);
});

test("what the study decides itself is refused, and so are rates where none are swept", async () => {
  using place = runFixture({ rows: 6, held: 4 });
  const options = tinyStudy(place, "frontier");
  const overrides = [["learning_rate", "1e-3"] as const];
  await assert.rejects(
    study({ ...options, overrides }),
    /frontier decides learning_rate itself: .*--learning-rates 5e-4,1e-3,2e-3/,
  );
  await assert.rejects(
    study(tinyStudy(place, "online", { per_device_train_batch_size: 8, max_completion_length: 8 })),
    /online decides max_completion_length itself, for each of its conditions: take --max_completion_length out/,
  );
  await assert.rejects(
    study({ ...tinyStudy(place, "anchoring"), learningRates: [1e-3] }),
    /anchoring sweeps no learning rates/,
  );
});

test("a study over training sets says before anything is computed that it has few", async () => {
  using place = runFixture({ rows: 2, held: 2 });
  const said: string[] = [];
  const out = { write: (text: string) => said.push(text) > 0 };
  await assert.rejects(study({ ...tinyStudy(place, "frontier"), seeds: 3, out }), /at least 3 prompts/);
  await assert.rejects(study({ ...tinyStudy(place, "frontier"), seeds: 4, out }), /at least 4 prompts/);
  const notes = said.filter((line) => line.startsWith("note: intervals are over training sets"));
  assert.match(notes.join(), /^note: [^:]*over 3 they say little\. Take 4 or more: --seeds 4\.\n$/);
});
