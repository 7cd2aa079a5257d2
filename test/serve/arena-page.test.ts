/** The Arena in a real browser, with models that the dashboard serves itself while something trains: chosen, waited for, judged by a key. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadConfig } from "../../src/config/load-config.ts";
import { createRun } from "../../src/runs/run-directory.ts";
import {
  assertInOrder,
  looks,
  outOfReach,
  skipsBrowser,
  startBrowser,
  watchedPage,
} from "../support/browser.ts";
import { serveDashboard } from "../support/dashboards.ts";
import { makeTinyAdapter, makeTinyModel } from "../support/tiny-model.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

test("two contestants of one base are chosen, load, answer, and are named by the vote; what that costs a training is said", {
  skip: skipsBrowser,
}, async () => {
  using dir = temporaryDirectory();
  const base = makeTinyModel(join(dir.path, "base"));
  const adapter = makeTinyAdapter(join(dir.path, "adapter"), base);
  const root = join(dir.path, "runs");
  mkdirSync(join(root, "workbench"), { recursive: true });
  const own = "temperature: 0, max_tokens: 8";
  const contestants = [
    `{ name: plain, model_name_or_path: ${base}, ${own} }`,
    `{ name: whole, adapter: ${adapter}, ${own} }`,
    `{ name: half, adapter: ${adapter}, adapter_scale: 0.5, ${own} }`,
  ];
  const arena = join(root, "workbench", "arena.yaml");
  writeFileSync(arena, `device: cpu\nthreads: 1\ncontestants:\n  - ${contestants.join("\n  - ")}\n`);
  const values = { model_name_or_path: base, train_data: "a.jsonl", output_dir: join(root, "busy") };
  const run = createRun(loadConfig({ values }));
  run.log("start", { step: 0, total_steps: 9 });
  const { dashboard, faults } = await serveDashboard(root);
  const browser = await startBrowser();
  try {
    const { page, complaints } = await watchedPage(browser);
    const link = dashboard.link();
    await page.goto(link);
    await page.getByRole("link", { name: "Arena" }).click();
    await page.getByText(/Training now: busy\. Contestants here answer with 1 of \d+ threads/).waitFor();
    await page.getByLabel("Prompt").fill("Say something.");
    await page.getByLabel("Who meets").selectOption({ label: "whole, half" });
    await page.keyboard.press("Control+Enter");
    await page.getByRole("button", { name: "Left better" }).and(page.locator(":enabled")).waitFor();
    for (const { name, width, colorScheme } of looks) {
      await page.setViewportSize({ width, height: 800 });
      await page.emulateMedia({ colorScheme });
      await assertInOrder(page, name);
    }
    assert.deepEqual(await outOfReach(page), []);
    assert.equal(await page.getByText(/Left: /).count(), 0, "blind until the vote");
    await page.evaluate("document.activeElement?.blur()");
    await page.keyboard.press("ArrowLeft");
    const named = page.getByRole("heading", { name: /^(Left|Right): (whole|half)$/ });
    await named.nth(1).waitFor();
    assert.equal(await named.count(), 2);
    await page.getByText(/(whole over half|half over whole): \d+ %/).waitFor();

    writeFileSync(arena, `contestants:\n  - ${contestants[0]}\n  - { name: b, adapter: ${root}/none }\n`);
    await page.reload();
    await page.getByText(/arena\.yaml:3: .*none: expected a PEFT adapter directory/).waitFor();
    assert.deepEqual(complaints, []);
    assert.deepEqual(faults, []);
  } finally {
    await browser.close();
    await dashboard.close();
    run.release();
  }
});
