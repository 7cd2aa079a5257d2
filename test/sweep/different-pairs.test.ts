/** A sweep over a key that decides which held-out pairs there are: settings are compared on those that all of them have. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { readJsonLines } from "../../src/runs/json-lines.ts";
import { gridPaths, runGrid } from "../../src/sweep/grid.ts";
import { lackSections } from "../../src/sweep/lacks.ts";
import { readMeasured } from "../../src/sweep/measured.ts";
import { runTrial } from "../../src/sweep/run-trial.ts";
import { runSweep } from "../../src/sweep/sweep.ts";
import { parseSweep } from "../../src/sweep/sweep-file.ts";
import { trialsOf } from "../../src/sweep/trials.ts";
import { runFixture } from "../support/runs.ts";
import { writeRows } from "../support/tiny-model.ts";

test("settings that drop different pairs differ by training alone", async () => {
  using place = runFixture({ rows: 8, held: 4 });
  const pair = (i: number, words: number, prompt = i) => ({
    prompt: `Say ${prompt}.`,
    chosen: `Yes ${i} ${"and more ".repeat(words)}`,
    rejected: `No ${i}`,
  });
  const held = writeRows(place.path("mixed.jsonl"), [
    pair(1, 1),
    pair(2, 40),
    pair(3, 2),
    pair(4, 45),
    pair(5, 3, 1),
  ]);
  const short = { max_steps: 1, per_device_train_batch_size: 4, save_strategy: "no", learning_rate: 1e-9 };
  const values = JSON.stringify({ ...place.values, ...short, overflow: "drop", eval_data: held });
  // training hardly moves: margins are those of the start, pair by pair
  const text = `values: ${values}\nparameters:\n  max_length: [96, 1024]\nmetric: margin\n`;
  const { summary, results, report } = await runSweep(parseSweep(text, "sweep.yaml"), {
    ...{ output: place.path("sweep"), jobs: 1, command: "", out: { write: () => true }, runTask: runTrial },
  });
  const rows = readJsonLines(results).map(({ value }) => value as Record<string, unknown>);
  const margins = rows.filter(({ metric }) => metric === "margin");
  assert.deepEqual(
    margins.map(({ pairs, prompts }) => [pairs, prompts]),
    [
      [3, 2],
      [5, 4],
      [3, 2],
    ],
  );
  const difference = margins.find(({ minus }) => minus !== undefined);
  assert.ok(Math.abs(Number(difference?.["value"])) < 1e-5, String(difference?.["value"]));
  const said = /2 of 5 held-out pairs are not in every setting: the ranking is by the 3 that are\./;
  assert.match(summary, said);
  assert.match(readFileSync(report, "utf8"), said);
  assert.match(summary, /No best by margin at the end/);
});

test("seeds that drop different pairs are measured on those that all of them have, and the report says so", async () => {
  using place = runFixture({ rows: 8, held: 4 });
  const rowsOf = (path: unknown) => readJsonLines(String(path)).map(({ value }) => value as object);
  const [trained, held] = [rowsOf(place.values["train_data"]), rowsOf(place.values["eval_data"])];
  const shared = { ...held[1], chosen: "Another answer" };
  const other = writeRows(place.path("other.jsonl"), [...trained, shared]);
  const short = { max_steps: 1, per_device_train_batch_size: 4, save_strategy: "no", invalid_rows: "drop" };
  const trials = trialsOf(
    [{ name: "one", changes: {} }],
    { count: 2 },
    {
      ...{ file: null, overrides: [] },
      shared: (seed) => ({ ...place.values, ...short, ...(seed === 2 ? { train_data: other } : {}) }),
    },
  );
  const paths = gridPaths(place.path("grid"));
  const outcomes = await runGrid(trials, paths, { jobs: 1, out: { write: () => true }, runTask: runTrial });
  const measured = readMeasured(paths, outcomes);
  const lines = measured.get("one")?.runs.map(({ after }) => after.map(({ line }) => line));
  assert.deepEqual(lines, [
    [1, 3, 4],
    [1, 3, 4],
  ]);
  const [section] = lackSections(measured, ["accuracy"]);
  assert.match(section?.sentences?.join(" ") ?? "", /different held-out pairs.* one: 1 left out, 3 kept\./);
});
