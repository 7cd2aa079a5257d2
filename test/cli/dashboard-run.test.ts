/** A run from the page: form, check, start, figures as they come, the dashboard killed meanwhile, stop, resume, compare, a pair. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Page } from "playwright-core";
import { sha256File } from "../../src/base/files.ts";
import { complaintsOf, skipsBrowser, startBrowser } from "../support/browser.ts";
import { preftune } from "../support/command.ts";
import { startDashboard } from "../support/dashboards.ts";
import { compileGate, Gate } from "../support/gate.ts";
import type { Variables } from "../support/rank-processes.ts";
import { scratch } from "../support/scratch.ts";
import { makeTinyModel, pairRows, writeRows } from "../support/tiny-model.ts";

const steps = 40;

/** A dashboard as a process, whose runs get `variables`, and the address that logs in. */
async function dashboardAt(
  dir: string,
  variables: Variables = {},
): Promise<{ link: string; kill: () => Promise<void> }> {
  const { running, link } = await startDashboard(dir, variables);
  return {
    link,
    kill: async () => {
      running.child.kill("SIGKILL");
      await running.ended;
    },
  };
}

/** Holds the process that trains before it has written figures. */
async function heldTrainer(dir: string): Promise<number> {
  const lock = join(dir, "run.lock");
  while (!existsSync(lock) || !existsSync(join(dir, "run.json"))) await setTimeout(2);
  const { pid } = JSON.parse(readFileSync(lock, "utf8")) as { pid: number };
  process.kill(pid, "SIGSTOP");
  return pid;
}

/** Lets it write its first figures. @returns when */
async function firstFigures(dir: string, trainer: number): Promise<number> {
  const metrics = join(dir, "metrics.jsonl");
  process.kill(trainer, "SIGCONT");
  while (!existsSync(metrics) || statSync(metrics).size === 0) await setTimeout(5);
  return performance.now();
}

/** Fills the form in and starts the run. */
async function startFromForm(page: Page, values: Readonly<Record<string, string>>): Promise<void> {
  await page.getByRole("link", { name: "New run" }).first().click();
  await page.getByText("Model and machine").waitFor();
  await page.locator("details").evaluateAll((groups) => {
    for (const group of groups) (group as unknown as { open: boolean }).open = true;
  });
  for (const [key, value] of Object.entries(values)) {
    const field = page.locator(`[name="${key}"]`);
    if ((await field.evaluate((element) => (element as unknown as { tagName: string }).tagName)) === "SELECT")
      await field.selectOption(value);
    else await field.fill(value);
  }
  await page.getByRole("button", { name: "Check", exact: true }).click();
  await page.getByText("output_dir: ").waitFor();
  await page.locator("pre", { hasText: "training" }).first().waitFor();
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await page.getByRole("heading", { name: "Queue" }).waitFor();
}

const folder = mkdtempSync(join(scratch(), "preftune-gates-"));
after(() => rmSync(folder, { recursive: true }));
const noGates = compileGate(folder);

test("start, see figures, kill the dashboard, stop, resume to the same bits, compare, read a pair", {
  skip: skipsBrowser || noGates,
}, async (t) => {
  const root = mkdtempSync(join(scratch(), "preftune-page-run-"));
  const runs = join(root, "runs");
  mkdirSync(runs);
  const [dir, whole] = [join(runs, "a"), join(runs, "whole")];
  const values = {
    model_name_or_path: makeTinyModel(join(root, "base"), {}),
    train_data: writeRows(join(root, "train.jsonl"), pairRows(24)),
    ...{ device: "cpu", dtype: "float32", threads: "1" },
    ...{ max_steps: String(steps), per_device_train_batch_size: "2", gradient_accumulation_steps: "1" },
    ...{ logging_steps: "1", eval_fraction: "0.25", eval_steps: "20", watch_max_new_tokens: "4" },
    ...{ eval_strategy: "steps", save_steps: "10", use_peft: "true", lora_r: "2", lora_alpha: "4" },
  };
  // held in its first save, so that it is not over before it is asked to stop
  const gate = new Gate(folder, "run");
  const first = await dashboardAt(runs, gate.variables("checkpoint-10", 1));
  const browser = await startBrowser();
  try {
    const context = await browser.newContext();
    const page = await context.newPage();
    const said = complaintsOf(page);
    await page.goto(first.link);
    await page.getByText("There is no run here yet").waitFor();
    await startFromForm(page, { ...values, output_dir: dir });
    const trainer = await heldTrainer(dir);
    await page.getByRole("link", { name: "Runs", exact: true }).click();
    await page.getByRole("link", { name: "a", exact: true }).click();
    await page.getByText("There are no figures yet").waitFor();
    const written = await firstFigures(dir, trainer);
    await page.getByRole("button", { name: "What is Loss?" }).waitFor();
    const seen = performance.now() - written;
    t.diagnostic(`first figures ${seen.toFixed(0)} ms after they were written`);
    assert.ok(seen < 20_000, `first figures ${seen} ms after they were written`);
    assert.deepEqual(said, []);

    await page.close();
    await first.kill();
    const second = await dashboardAt(runs);
    const again = await context.newPage();
    const complaints = complaintsOf(again);
    await again.goto(second.link);
    await again.getByRole("link", { name: "a", exact: true }).click();
    const stop = again.getByRole("button", { name: "Stop" });
    await stop.click();
    await again.getByText("Asked to stop").waitFor();
    gate.open();
    await again.locator(".state.stopped").waitFor();
    const stopped = readFileSync(join(dir, "metrics.jsonl"), "utf8").split("\n").length;
    assert.ok(stopped < steps, `stopped after ${stopped} rows`);

    await again.getByRole("button", { name: "Resume" }).click();
    await again.locator(".state.done").waitFor();
    await again.getByText(`at step ${steps} of ${steps}`).waitFor();
    const config = join(dir, "config.yaml");
    const afresh = ["--resume_from_checkpoint", "null"];
    const ended = await preftune("train", config, "--output_dir", whole, ...afresh);
    assert.equal(ended.status, 0, ended.stderr);
    const weights = (run: string): string => sha256File(join(run, "adapter", "adapter_model.safetensors"));
    assert.equal(weights(dir), weights(whole), "resumed as if it had not been stopped");

    // the two compared, and a pair to its text
    await again.getByRole("link", { name: "Runs", exact: true }).click();
    await again.getByRole("link", { name: "whole", exact: true }).waitFor();
    for (const key of ["x", "j", "x", "c"]) await again.keyboard.press(key);
    await again.getByRole("heading", { name: "Pair by pair" }).waitFor();
    await again.getByText("On held-out pairs that both runs have").waitFor();
    await again.getByRole("link", { name: "a", exact: true }).click();
    await again
      .getByRole("button", { name: /^train\.jsonl:\d+$/ })
      .first()
      .click();
    await again.getByRole("region", { name: "Tokens" }).waitFor();
    assert.deepEqual(complaints, []);
    await second.kill();
  } finally {
    gate.open();
    await browser.close();
    await first.kill();
    rmSync(root, { recursive: true, force: true });
  }
});
