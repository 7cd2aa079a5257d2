/** A sweep over a key that decides which held-out pairs there are: settings are compared on those that all of them have. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { readJsonLines } from "../../src/runs/json-lines.ts";
import { runTrial } from "../../src/sweep/run-trial.ts";
import { runSweep } from "../../src/sweep/sweep.ts";
import { parseSweep } from "../../src/sweep/sweep-file.ts";
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
