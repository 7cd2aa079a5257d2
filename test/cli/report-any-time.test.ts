/** The report of a run at any time of it: while it runs, and after SIGKILL at a random step, by its supervisor and by the command. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { Random } from "../../src/base/random.ts";
import { writeReport } from "../../src/report/run-report.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { campaignSeed } from "../support/campaign.ts";
import { preftune, start } from "../support/command.ts";
import { scratch } from "../support/scratch.ts";
import { makeTinyModel, pairRows, writeRows } from "../support/tiny-model.ts";

test("a run tells what there is: running, killed at a random step, reported by its supervisor and by the command", async () => {
  const root = mkdtempSync(join(scratch(), "preftune-any-time-"));
  const dir = join(root, "run");
  const config = join(root, "run.yaml");
  const values = {
    model_name_or_path: makeTinyModel(join(root, "base"), {}),
    train_data: writeRows(join(root, "train.jsonl"), pairRows(12)),
    ...{ output_dir: dir, device: "cpu", dtype: "float32", threads: 1, max_steps: 100_000 },
    ...{ per_device_train_batch_size: 2, gradient_accumulation_steps: 1, logging_steps: 1 },
    ...{ use_peft: true, lora_r: 2, lora_alpha: 4, save_strategy: "no" },
  };
  // JSON is YAML
  writeFileSync(config, JSON.stringify(values));
  const running = start(["train", config, "--max-restarts", "0"]);
  try {
    const metrics = join(dir, "metrics.jsonl");
    const step = (): number => (existsSync(metrics) ? (readMetrics(metrics).at(-1)?.global_step ?? 0) : 0);
    const wanted = 1 + new Random(campaignSeed).below(25);
    while (step() < wanted && running.child.exitCode === null) await setTimeout(10);
    const live = readFileSync(writeReport(dir, join(root, "live.html")), "utf8");
    assert.match(live, /Running at step \d+ of 100000/);
    assert.ok(!existsSync(join(dir, "report.html")), "nobody has written one yet");

    const { pid } = JSON.parse(readFileSync(join(dir, "run.lock"), "utf8")) as { pid: number };
    process.kill(pid, "SIGKILL");
    const { stderr } = await running.ended;
    const last = step();
    assert.match(stderr, /given up/);
    const byItself = readFileSync(join(dir, "report.html"), "utf8");
    assert.match(byItself, new RegExp(`Killed at step ${last} of 100000`));
    assert.match(byItself, /The trainer ended once before its time/);
    assert.match(byItself, new RegExp(`The run was killed at step ${last} or after: process ${pid} is gone`));

    rmSync(join(dir, "report.html"));
    const told = await preftune("report", dir);
    assert.equal(told.status, 0, told.stderr);
    assert.equal(readFileSync(join(dir, "report.html"), "utf8"), byItself, "the same, whoever writes it");
  } finally {
    running.child.kill("SIGKILL");
    rmSync(root, { recursive: true, force: true });
  }
});
