/** Sweeps whose rows are no pairs: prompts of on-policy runs, and single answers with labels. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readJsonLines } from "../../src/runs/json-lines.ts";
import { runTrial } from "../../src/sweep/run-trial.ts";
import { runSweep } from "../../src/sweep/sweep.ts";
import { parseSweep } from "../../src/sweep/sweep-file.ts";
import type { HeldOutPair } from "../../src/sweep/trial.ts";
import { onlineFixture } from "../support/online-run.ts";
import { runFixture, type Values } from "../support/runs.ts";
import { pairRows, writeRows } from "../support/tiny-model.ts";

const rates = "parameters:\n  learning_rate: [1e-3, 1e-2]\n";

/** Runs a sweep over two learning rates in `output`, and gives its runs and what it says. */
async function swept(
  output: string,
  values: Values,
  metric: string,
): Promise<{ runs: { id: string; status: string; reason?: string }[]; summary: string; report: string }> {
  const { learning_rate: _, ...shared } = values;
  const sweep = parseSweep(`values: ${JSON.stringify(shared)}\n${rates}metric: ${metric}\n`, "sweep.yaml");
  const out = { write: () => true };
  const written = await runSweep(sweep, { output, jobs: 1, command: "", out, runTask: runTrial });
  const runs = readJsonLines(written.runs).map(({ value }) => value as { id: string; status: string });
  return { runs, summary: written.summary, report: readFileSync(written.report, "utf8") };
}

function pairsOf(output: string, id: string): HeldOutPair[] {
  const lines = readJsonLines(join(output, "runs", id, "held-out.jsonl"));
  return lines.map(({ value }) => value as HeldOutPair);
}

test("an on-policy sweep over prompts is judged by the reward; by pairs it is refused before it trains", async () => {
  using place = onlineFixture();
  const prompts = pairRows(30)
    .slice(24)
    .map(({ prompt }) => ({ prompt }));
  const held = writeRows(place.path("held-prompts.jsonl"), prompts);
  const values = { ...place.online, max_steps: 1, eval_data: held };
  const output = place.path("sweep");
  const { runs, summary, report } = await swept(output, values, "reward");
  assert.deepEqual(
    runs.map(({ status, reason }) => [status, reason]),
    [
      ["done", undefined],
      ["done", undefined],
    ],
  );
  assert.match(summary, /[Bb]est by reward/);
  assert.doesNotMatch(report, /held-out accuracy|The longer answer/);
  const refused = await swept(place.path("by-pairs"), values, "accuracy");
  for (const { id, status, reason } of refused.runs) {
    assert.equal(status, "failed");
    assert.match(String(reason), /expected a good and a bad answer .* metric: reward/);
    assert.ok(!existsSync(join(place.path("by-pairs"), "runs", id)), "it did not train");
  }
});

test("held-out pairs of an on-policy run are measured where they fit into max_length", async () => {
  using place = onlineFixture();
  const [first, ...others] = pairRows(30).slice(24);
  const long = { ...first, rejected: "a".repeat(400) };
  const held = writeRows(place.path("held-pairs.jsonl"), [long, ...others]);
  const values = { ...place.online, max_steps: 1, eval_data: held, max_length: 200 };
  const { runs } = await swept(place.path("sweep"), values, "chosen_change");
  for (const { id, status, reason } of runs) {
    assert.equal(status, "done", reason);
    assert.deepEqual(
      pairsOf(place.path("sweep"), id).map(({ line }) => line),
      [2, 3, 4, 5, 6],
    );
  }
});

test("a sweep over KTO is compared on the good with the bad answers to each held-out prompt", async () => {
  using place = runFixture({ rows: 2, held: 1 });
  const labelled = (from: number, to: number) =>
    pairRows(to)
      .slice(from)
      .flatMap(({ prompt, chosen, rejected }) => [
        { prompt, completion: chosen, label: true },
        { prompt, completion: rejected, label: false },
      ]);
  const [good, bad] = labelled(12, 13);
  const third = { ...bad, completion: "the zebra" };
  const lonely = labelled(13, 14).slice(0, 1);
  const values = {
    ...place.values,
    train_data: writeRows(place.path("train.labelled.jsonl"), labelled(0, 12)),
    eval_data: writeRows(place.path("held.labelled.jsonl"), [
      good,
      ...lonely,
      bad,
      third,
      ...labelled(14, 15),
    ]),
    objective: "kto",
    max_steps: 2,
    per_device_train_batch_size: 4,
    max_length: 96,
    save_strategy: "no",
  };
  const output = place.path("sweep");
  const { runs, summary } = await swept(output, values, "accuracy");
  assert.match(summary, /[Bb]est by held-out accuracy/);
  for (const { id, status, reason } of runs) {
    assert.equal(status, "done", reason);
    const pairs = pairsOf(output, id);
    assert.deepEqual(
      pairs.map(({ line, other, prompt }) => [line, other?.line, prompt]),
      [
        [1, 3, 0],
        [1, 4, 0],
        [5, 6, 1],
      ],
    );
    assert.deepEqual(pairs[0]?.chosen, pairs[1]?.chosen);
    for (const { chosen, rejected } of pairs) assert.ok(chosen.length > 0 && rejected.length > 0);
  }
});
