/** Disjoint training sets, and what a study of such refuses. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { runFixture } from "../test/support/runs.ts";
import { tinyStudy } from "../test/support/study.ts";
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
    /at least 8 rows, one for each training set, got 7.*--seeds/,
  );
  await assert.rejects(trainingSets(place.path("study"), {}, 2), /name their file with --data/);
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
  await assert.rejects(study({ ...tinyStudy(place, "frontier"), seeds: 3, out }), /at least 3 rows/);
  await assert.rejects(study({ ...tinyStudy(place, "frontier"), seeds: 4, out }), /at least 4 rows/);
  const notes = said.filter((line) => line.startsWith("note: intervals are over training sets"));
  assert.match(notes.join(), /^note: [^:]*over 3 they say little\. Take 4 or more: --seeds 4\.\n$/);
});
