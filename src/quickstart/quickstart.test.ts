import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/support/tiny-models.ts";
import { TrainingError } from "../base/errors.ts";
import { quickstart } from "./quickstart.ts";
import { runInProcess } from "./stage-process.ts";

const sink = (): { text: string; write: (text: string) => void } => {
  const out = {
    text: "",
    write: (text: string) => {
      out.text += text;
    },
  };
  return out;
};

test("the fast form runs from nothing to a table and a report", async () => {
  using parent = temporaryDirectory();
  const output = join(parent.path, "quickstart");
  const out = sink();
  const { metrics, report } = await quickstart({ output, seed: 2, fast: true, out });
  assert.deepEqual(
    metrics.map(({ name }) => name),
    ["SFT", "DPO", "SimPO", "SLIME"],
  );
  for (const { name, accuracy, change, distinct2, ended, rightForm, right, seconds, peakBytes } of metrics) {
    const shown = [accuracy, distinct2, ended, rightForm, right, seconds, peakBytes];
    const moved = change === null ? [] : [change.chosen, change.rejected, change.chosenDown];
    assert.ok([...shown, ...moved].every(Number.isFinite), `${name}: ${[...shown, ...moved]}`);
    assert.equal(change === null, name === "SFT");
    assert.ok(peakBytes > 50 * 2 ** 20 && seconds > 0);
    assert.match(out.text, new RegExp(`^${name} .* MiB$`, "m"));
  }
  // three steps of a learning rate above 0 move every method's likelihoods, and differently
  const moves = metrics.slice(1).map(({ change }) => change?.chosen);
  assert.equal(new Set([0, ...moves]).size, 4, `${moves}`);
  assert.match(out.text, /\[4\/4\] SLIME: 3 steps/);
  assert.equal(report, join(output, "report.html"));
  const html = readFileSync(report, "utf8");
  assert.ok(html.includes("SimPO") && html.includes("<svg"));
  for (const stage of ["sft", "dpo", "simpo", "slime"]) {
    assert.ok(existsSync(join(output, stage, "model", "model.safetensors")), stage);
  }
});

test("a stage that fails ends with its message", async () => {
  const task = {
    config: { values: { objective: "sft" } },
    base: null,
    heldOut: "nowhere.jsonl",
    answersPerPrompt: 1,
  };
  await assert.rejects(runInProcess("[1/4] SFT", task, sink()), {
    name: TrainingError.name,
    message: /^\[1\/4\] SFT: .*model_name_or_path is missing/s,
  });
});
