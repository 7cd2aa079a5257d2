/**
 * Row 5: every system call of a study and a sweep fails in turn: it is thrown or told as the reason of a failed run, tables
 * are the former or the new, and the command done again comes to the tables of one that met no fault.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { runTrial } from "../../src/sweep/run-trial.ts";
import { runSweep } from "../../src/sweep/sweep.ts";
import { parseSweep } from "../../src/sweep/sweep-file.ts";
import { study } from "../../studies/study.ts";
import { amount, figure } from "../support/campaign.ts";
import { type FaultyCommand, failEachCall } from "../support/fault-loop.ts";
import { runFixture } from "../support/runs.ts";
import { tinyStudy } from "../support/study.ts";

const fixture = runFixture({ rows: 4, held: 2, config: { num_hidden_layers: 1 } });
after(() => fixture[Symbol.dispose]());
const place = fixture.path("loops");
before(() => mkdirSync(place));

/** Without the places and times of its runs. */
const essence = (text: string, dir: string): string =>
  text.replaceAll(dir, "DIR").replace(/"seconds":[\d.]+/g, "");
const reports = (result: unknown): boolean => /Failed: /.test((result as { summary: string }).summary);

async function loop(command: FaultyCommand, stride: number): Promise<void> {
  const { calls, failed } = await failEachCall(command, place, stride);
  figure(
    5,
    `${command.name}: each system call that writes fails once (EIO, ENOSPC, EDQUOT, EROFS, EMFILE)`,
    `${failed} of ${calls.length} calls tried, all told, same tables when done again`,
    "100 % of those tried",
    failed >= Math.floor(calls.length / stride),
  );
}

test("a sweep of two runs", async () => {
  const short = {
    max_steps: 1,
    per_device_train_batch_size: 4,
    max_length: 96,
    save_strategy: "no",
    use_peft: true,
    lora_r: 2,
  };
  const text = `values: ${JSON.stringify({ ...fixture.values, ...short })}\nparameters:\n  lambda_w: [0.1, 5]\nmetric: chosen_change\n`;
  const sweep = parseSweep(text, "sweep.yaml");
  const run = (dir: string) =>
    runSweep(sweep, {
      output: join(dir, "sweep"),
      jobs: 1,
      command: "preftune sweep sweep.yaml",
      out: { write: () => true },
      runTask: runTrial,
    });
  await loop(
    { name: "sweep", run, outputs: ["sweep/results.jsonl", "sweep/runs.jsonl"], reports, essence },
    amount(60, 2),
  );
});

test("a study", async () => {
  const run = (dir: string) => study({ ...tinyStudy(fixture, "stabiliser"), output: join(dir, "study") });
  await loop(
    { name: "study", run, outputs: ["study/results.jsonl", "study/runs.jsonl"], reports, essence },
    amount(400, 25),
  );
});
