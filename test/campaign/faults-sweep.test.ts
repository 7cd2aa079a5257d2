/**
 * Row 5: every system call of a sweep fails in turn: it is thrown or reported as the reason of a failed run, tables are the former or
 * the new, and the command done again comes to the tables of one that met no fault.
 */
import { join } from "node:path";
import { test } from "node:test";
import { runTrial } from "../../src/sweep/run-trial.ts";
import { runSweep } from "../../src/sweep/sweep.ts";
import { parseSweep } from "../../src/sweep/sweep-file.ts";
import { amount } from "../support/campaign.ts";
import { failTables, loopFixture } from "../support/faults-study.ts";

test("a sweep of two runs", async () => {
  using fixture = loopFixture();
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
  await failTables({ name: "sweep", run }, fixture, { stride: amount(60, 1) });
});
