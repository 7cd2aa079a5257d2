/** The dashboard's pages in a real browser: they say nothing on the console, fit their window, and keep nobody out. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Page } from "playwright-core";
import {
  assertInOrder,
  drawn,
  looks,
  outOfReach,
  picture,
  skipsBrowser,
  startBrowser,
  watchedPage,
} from "../../../test/support/browser.ts";
import { hostileKey, serveDashboard, writeRun } from "../../../test/support/dashboards.ts";
import { idOf } from "../run-store.ts";

test("every screen, on a desktop and a phone, light and dark", { skip: skipsBrowser }, async () => {
  const root = mkdtempSync(join(tmpdir(), "preftune-pages-"));
  const id = idOf(writeRun(root, "a"));
  const { dashboard, faults } = await serveDashboard(root);
  const browser = await startBrowser();
  try {
    const { page, complaints } = await watchedPage(browser);
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
        const ids = await page.evaluate(() => [...document.querySelectorAll("[id]")].map(({ id }) => id));
        assert.equal(new Set(ids).size, ids.length, `${place}: an id twice`);
        await assertInOrder(page, `${place}, ${name}`);
      }
      assert.deepEqual(await outOfReach(page), [], `${place}: by Tab`);
    }
    await page.getByLabel("Logarithmic").check();
    await page.getByLabel("Over").selectOption("tokens");
    await page.getByLabel("Smoothing").fill("0.5");
    await zoomed(page, new URL(`#/runs/${other}`, link).href);
    await page.getByRole("button", { name: "What is Loss?" }).first().click();
    await page.getByText("Value of the objective").waitFor();
    await page.keyboard.press("?");
    await page.getByText("Next evaluation").waitFor();
    await page.keyboard.press("Escape");
    await byKeyboard(page, link);
    await page.getByText("Nobody is logged in here").waitFor();
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

/** Zooms the charts of a run, one of which has lost its lines, then those of another one at `address`. */
async function zoomed(page: Page, address: string): Promise<void> {
  const all = page.getByRole("button", { name: "All", exact: true });
  const zoomIn = page.getByRole("button", { name: "Zoom in" });
  const first = page.locator(".live figure").first();
  await picture(first);
  const lines = first.locator('.legend [aria-pressed="true"]');
  while ((await lines.count()) > 0) await lines.first().click();
  await drawn(page);
  await zoomIn.click();
  await drawn(page);
  assert.ok(await all.isEnabled(), "a chart without a line follows like the others");
  await page.goto(address);
  await page.getByRole("heading", { name: "b", exact: true, level: 1 }).waitFor();
  assert.ok(await all.isDisabled(), "of another run all is shown");
  await zoomIn.click();
  await page.getByLabel("Over").selectOption("tokens");
  await drawn(page);
  assert.ok(await all.isDisabled(), "over something else all is shown");
  await zoomIn.click();
  await all.click();
  // a drag over a chart zooms all, and a double click shows all again
  await picture(first);
  const chart = first.locator(".u-over");
  await chart.scrollIntoViewIfNeeded();
  const { x, y, width, height } = (await chart.boundingBox()) ?? assert.fail();
  const moveTo = async (part: number): Promise<void> =>
    await page.mouse.move(x + part * width, y + height / 2, { steps: 4 });
  await moveTo(0.4);
  await page.mouse.down();
  await moveTo(0.8);
  await page.mouse.up();
  await drawn(page);
  assert.ok(await all.isEnabled(), "a drag");
  await chart.dblclick();
  await drawn(page);
  assert.ok(await all.isDisabled(), "a double click");
}

/** Moves the focus by Tab to what has this text or label, and presses Enter there. */
async function press(page: Page, text: string, key: string = "Enter"): Promise<void> {
  for (let i = 0; i < 400; i++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const { activeElement: element } = document;
      return `${element?.getAttribute("name") ?? ""}|${element?.getAttribute("aria-label") ?? ""}|${element?.textContent ?? ""}`;
    });
    if (at.split("|").some((one) => one.trim() === text)) return await page.keyboard.press(key);
  }
  assert.fail(`Tab does not lead to "${text}"`);
}

/** Chooses an objective that a value given is no key of: the value can be taken out. */
async function otherObjective(page: Page): Promise<void> {
  const margin = page.locator('[name="margin_hard"]');
  const objective = page.locator('[name="objective"]');
  for (const field of [margin, objective])
    await page.locator("details", { has: field }).evaluate((group) => group.setAttribute("open", ""));
  await margin.fill("2");
  await objective.selectOption("dpo");
  await drawn(page);
  await margin.fill("");
  await margin.waitFor({ state: "detached" });
  await objective.selectOption("");
}

/** A session without a mouse: find, tag and compare runs, read a pair, start a run, look at its output, leave. */
async function byKeyboard(page: Page, link: string): Promise<void> {
  const { keyboard } = page;
  await page.setViewportSize({ width: 1400, height: 800 });
  await page.goto(new URL("#/runs", link).href);
  await page.getByRole("link", { name: "b", exact: true }).waitFor();
  await keyboard.press("?");
  await page.getByText("Pin the run as baseline, or unpin it").waitFor();
  // behind the list of keys nothing happens
  await keyboard.press("p");
  await keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.equal(await page.getByText("baseline", { exact: true }).count(), 0);
  await keyboard.press("p");
  await page.getByText("baseline", { exact: true }).waitFor();
  await keyboard.press("/");
  await keyboard.type("nothing");
  await page.getByText("No run has all of these words").waitFor();
  await press(page, "Show all");
  await page.getByText("2 runs", { exact: true }).waitFor();
  for (const key of ["x", "j", "x", "c"]) await keyboard.press(key);
  await page.getByRole("heading", { name: "Compare" }).waitFor();
  // what the report over both says stands beside the curves, of which equal ones are a sentence
  await page.getByText("No value and no input differs").waitFor();
  await page.getByRole("heading", { name: "What do the models answer?" }).waitFor();
  await press(page, "Numbers");
  await page.getByRole("region", { name: /^Numbers of/ }).waitFor();
  await page.getByRole("checkbox", { name: /^Seeds of one/ }).press("Space");
  await page.getByText("The same in all runs: ").first().waitFor();
  await keyboard.press("1");
  await page.getByRole("heading", { name: "Runs" }).waitFor();
  await keyboard.press("o");
  await page.getByText("Evaluation at step").waitFor();
  // what is shown of a step is not shown as that of another, whose answer takes its time
  const slow = Promise.withResolvers<void>();
  await page.route("**/evaluations/0", async (route) => {
    await slow.promise;
    await route.continue();
  });
  await keyboard.press("[");
  await page.waitForFunction(() => location.hash.includes("at=0"));
  const answers = page.getByText("The first evaluation beside that of step 0");
  await answers.waitFor({ state: "hidden" });
  slow.resolve();
  await answers.waitFor();
  await press(page, "eval.jsonl:2");
  await page.getByText("<script>alert(2)</script> good").first().waitFor();
  await keyboard.press("d");
  await page.getByRole("heading", { name: "The run again, with changes" }).waitFor();
  await page.locator('[name="output_dir"]').waitFor();
  await otherObjective(page);
  await press(page, "Check");
  await press(page, "Start");
  await page.getByRole("heading", { name: "Queue" }).waitFor();
  await press(page, "Output");
  await page.getByText("nothing yet").waitFor();
  await press(page, "Log out");
}
