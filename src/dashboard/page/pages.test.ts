/** The dashboard's pages in a real browser: they say nothing on the console, fit their window, and keep nobody out. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { barriers, complaintsOf, looks, skipsBrowser, startBrowser } from "../../../test/support/browser.ts";
import { hostileKey, writeRun } from "../../../test/support/dashboards.ts";
import { startDashboard } from "../dashboard.ts";
import { idOf } from "../run-store.ts";

test("every screen, on a desktop and a phone, light and dark", { skip: skipsBrowser }, async () => {
  const root = mkdtempSync(join(tmpdir(), "preftune-pages-"));
  const id = idOf(writeRun(root, "a"));
  const faults: unknown[] = [];
  const options = {
    host: "127.0.0.1",
    port: 0,
    allowedHosts: [],
    onFault: (error: unknown) => faults.push(error),
  };
  const dashboard = await startDashboard({ ...options, dirs: [root], program: [process.execPath, "-e", ""] });
  const browser = await startBrowser();
  try {
    const context = await browser.newContext();
    const page = await context.newPage();
    const complaints = complaintsOf(page);
    const link = dashboard.link();
    await page.goto(link);
    const other = idOf(writeRun(root, "b"));
    const screens = [
      [`#/compare?runs=${id},${other}`, "Compare"],
      ["#/runs", "a"],
      [`#/runs/${id}?pair=${hostileKey}`, "<script>alert(2)</script> good"],
    ] as const;
    for (const [place, wanted] of screens) {
      for (const { name, width, colorScheme } of looks) {
        await page.setViewportSize({ width, height: 800 });
        await page.emulateMedia({ colorScheme });
        await page.goto(new URL(place, link).href);
        await page.getByText(wanted, { exact: true }).first().waitFor();
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.equal(overflow, 0, `${place}, ${name}: scrolls sideways`);
        assert.deepEqual(await barriers(page), [], `${place}, ${name}`);
      }
    }
    await page.getByLabel("Logarithmic").check();
    await page.getByLabel("Over").selectOption("tokens");
    await page.getByLabel("Smoothing").fill("0.5");
    await page.getByRole("button", { name: "Zoom in" }).click();
    await page.getByRole("button", { name: "All", exact: true }).click();
    await page.getByRole("button", { name: "What is Loss?" }).first().click();
    await page.getByText("Value of the objective").waitFor();
    await page.keyboard.press("?");
    await page.getByText("Next evaluation").waitFor();
    await page.keyboard.press("Escape");
    // the address is used up, and nobody else gets in by it
    const stranger = await (await browser.newContext()).newPage();
    await stranger.goto(link);
    await stranger.getByText("This link was used already").waitFor();
    assert.deepEqual(complaints, []);
    assert.deepEqual(faults, []);
  } finally {
    await browser.close();
    await dashboard.close();
    rmSync(root, { recursive: true, force: true });
  }
});
