/** More windows of one browser than it has connections to an address: all get what is new, in turns. */
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { complaintsOf, skipsBrowser, startBrowser } from "../../../test/support/browser.ts";
import { fewRows, serveDashboard, writeRun } from "../../../test/support/dashboards.ts";
import { scratch } from "../../../test/support/scratch.ts";
import { idOf } from "../run-store.ts";

test("eight windows of a browser, which opens six connections: none waits for another to close", {
  skip: skipsBrowser,
}, async () => {
  const root = mkdtempSync(join(scratch(), "preftune-windows-"));
  const dir = writeRun(root, "a", fewRows);
  const { dashboard, faults } = await serveDashboard(root);
  const browser = await startBrowser();
  try {
    const context = await browser.newContext();
    const windows: { page: Page; complaints: string[] }[] = [];
    for (let i = 0; i < 8; i++) {
      const page = await context.newPage();
      const complaints = complaintsOf(page);
      await page.goto(i === 0 ? dashboard.link() : new URL("/", windows[0]?.page.url()).href);
      await page.getByRole("link", { name: "a", exact: true }).waitFor();
      await page.goto(new URL(`#/runs/${idOf(realpathSync(dir))}`, page.url()).href);
      await page.getByText("step 10", { exact: false }).first().waitFor();
      windows.push({ page, complaints });
    }
    for (const step of [11, 12]) {
      appendFileSync(join(dir, "metrics.jsonl"), `{"global_step":${step},"epoch":1,"loss":1}\n`);
      for (const { page } of windows)
        await page.getByText(`step ${step}`, { exact: false }).first().waitFor();
    }
    for (const { complaints } of windows) assert.deepEqual(complaints, []);
    assert.deepEqual(faults, []);
  } finally {
    await browser.close();
    await dashboard.close();
    rmSync(root, { recursive: true, force: true });
  }
});
