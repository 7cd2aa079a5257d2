/** What a training prints where there is no terminal. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "../config/load-config.ts";
import { Phases } from "../terminal/phases.ts";
import { TrainDisplay } from "./train-display.ts";

test("without a terminal the tokens that lost most stand behind the row of their evaluation", (t) => {
  const config = loadConfig({ values: { model_name_or_path: "m", train_data: "a", output_dir: "o" } }).config;
  const lines: string[] = [];
  t.mock.method(process.stdout, "write", (text: string) => {
    lines.push(text);
    return true;
  });
  const display = new TrainDisplay(config, { phases: new Phases(), resume: "" });
  const fallen = { row: "held.jsonl:3", before: "the ", token: "fox\n", after: " is", logp: -9 };
  display.event({
    type: "evaluation",
    row: { global_step: 8, eval_loss: 1 },
    record: {
      global_step: 8,
      rejected_logps: null,
      pair_changes: [],
      samples: [],
      fallen_tokens: [
        { ...fallen, change: Number.NEGATIVE_INFINITY, logp: Number.NEGATIVE_INFINITY },
        { ...fallen, change: -2.5 },
      ],
    },
    baseline: null,
    tokens: null,
  });
  t.mock.restoreAll();
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [
      { global_step: 8, eval_loss: 1 },
      { note: "step 8, lost most: -Infinity  the «fox ⏎ » is  held.jsonl:3" },
      { note: "step 8, lost most: -2.5  the «fox ⏎ » is  held.jsonl:3" },
    ],
  );
});
