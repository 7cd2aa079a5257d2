/** Every screen where there is nothing yet, in a real browser: it names the command that fills it, and all of it is reached by keyboard. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  assertInOrder,
  looks,
  outOfReach,
  skipsBrowser,
  startBrowser,
  watchedPage,
} from "../../../test/support/browser.ts";
import { serveDashboard } from "../../../test/support/dashboards.ts";
import { scratch } from "../../../test/support/scratch.ts";

test("every screen of an empty folder: its command, its keys, four looks, all of it by Tab", {
  skip: skipsBrowser,
}, async () => {
  const root = mkdtempSync(join(scratch(), "preftune-empty-"));
  // a shell takes it in quotes
  const dir = join(root, "my runs");
  mkdirSync(dir);
  const { dashboard, faults } = await serveDashboard(dir);
  const browser = await startBrowser();
  try {
    const { page, complaints } = await watchedPage(browser);
    await page.goto(dashboard.link());
    const screens = page.getByRole("navigation").getByRole("link");
    await screens.first().waitFor();
    const names = await screens.allTextContents();
    assert.ok(names.length >= 10, names.join());
    for (const name of names) {
      await screens.getByText(name, { exact: true }).click();
      await page.getByRole("heading", { name, exact: true, level: 1 }).waitFor();
      // a form is filled in, and says itself what it needs
      if (name === "New run") await page.getByText("Model and machine").waitFor();
      else
        await page
          .locator(".empty", { hasText: /preftune \w+/ })
          .first()
          .waitFor();
      for (const { name: look, width, colorScheme } of looks) {
        await page.setViewportSize({ width, height: 800 });
        await page.emulateMedia({ colorScheme });
        await assertInOrder(page, `${name}, ${look}`);
      }
      assert.deepEqual(await outOfReach(page), [], `${name}: by Tab`);
      // from nowhere: keys go into the field that has the focus
      await page.evaluate(
        () => document.activeElement instanceof HTMLElement && document.activeElement.blur(),
      );
      await page.keyboard.press("?");
      await page.getByRole("dialog").getByText("List the keys").waitFor();
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "hidden" });
    }
    await screens.getByText("Label", { exact: true }).click();
    await page.getByText(`preftune labels import '${dir}/workbench' FILE`).waitFor();
    assert.deepEqual(complaints, []);
    assert.deepEqual(faults, []);
  } finally {
    await browser.close();
    await dashboard.close();
    rmSync(root, { recursive: true, force: true });
  }
});
