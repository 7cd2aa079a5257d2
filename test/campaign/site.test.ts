/** The manual built as a site, without a warning, and used from the disk in a browser. In full only: npm fetches what builds it. */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { suite, test } from "node:test";
import { pathToFileURL } from "node:url";
import { barriers, complaintsOf, looks, skipsBrowser, startBrowser } from "../support/browser.ts";
import { isNightly } from "../support/campaign.ts";
import { startProcess } from "../support/command.ts";

const root = join(import.meta.dirname, "../..");

/** What is wrong with the links of the built pages: addresses from the root, or files and headings that are not there. */
function brokenIn(folder: string): string[] {
  const ids = new Map<string, Set<string>>();
  const html = (path: string): string => readFileSync(join(folder, path), "utf8");
  const idsOf = (path: string): Set<string> => {
    const known =
      ids.get(path) ?? new Set([...html(path).matchAll(/ id="([^"]*)"/g)].map(([, id = ""]) => id));
    ids.set(path, known);
    return known;
  };
  return globSync(["*.html", "decisions/*.html"], { cwd: folder }).flatMap((path) =>
    [...html(path).matchAll(/ (?:href|src)="((?!https?:|mailto:)[^"]*)"/g)].flatMap(([, address = ""]) => {
      const [to = "", anchor] = address.split("#");
      const target = to === "" ? path : normalize(join(dirname(path), to));
      if (address.startsWith("/") || !existsSync(join(folder, target))) return [`${path}: ${address}`];
      const isLost = anchor !== undefined && anchor !== "" && !idsOf(target).has(decodeURIComponent(anchor));
      return isLost ? [`${path}: ${address}: no such heading`] : [];
    }),
  );
}

const skip = isNightly ? skipsBrowser : "in full only";

suite("the built site", () => {
  const folder = join(root, "site/dist");

  test("is built without a warning, and no link is dead", { skip }, async () => {
    const program = [join(root, "site/build.ts")];
    const { status, stdout, stderr } = await startProcess(process.execPath, program).ended;
    assert.equal(status, 0, `${stdout}\n${stderr}`);
    assert.deepEqual(brokenIn(folder), []);
    assert.ok(existsSync(join(folder, "api/index.html")));
  });

  test("works from the disk: contents, search, dark and light, on a phone too", { skip }, async () => {
    const browser = await startBrowser();
    try {
      for (const { width, colorScheme } of looks) {
        const context = await browser.newContext({ viewport: { width, height: 844 }, colorScheme });
        const page = await context.newPage();
        const complaints = complaintsOf(page);
        await page.goto(pathToFileURL(join(folder, "index.html")).href);
        const isDark = () => page.evaluate<boolean>("document.documentElement.classList.contains('dark')");
        assert.equal(await isDark(), colorScheme === "dark");
        await page.click("#appearance");
        assert.equal(await isDark(), colorScheme !== "dark");
        await page.fill("#search", "frac_chosen_down displacement");
        await page.waitForSelector("#found a");
        await page.click('#found a[href*="displacement.html"]');
        await page.waitForURL(/displacement\.html/);
        assert.match((await page.textContent("h1")) ?? "", /Displacement/);
        assert.equal(await isDark(), colorScheme !== "dark", "the choice stays");
        if (width < 800) await page.click("#contents summary");
        await page.click('#contents a[href$="gguf.html"]');
        assert.match((await page.textContent("h1")) ?? "", /GGUF/);
        for (const path of ["configuration.html", "findings.html", "coming-from.html"]) {
          await page.goto(pathToFileURL(join(folder, path)).href);
          const over = await page.evaluate<number>("document.documentElement.scrollWidth - innerWidth");
          assert.ok(over <= 0, `${path} is ${over} wider than the screen`);
        }
        assert.deepEqual(complaints, []);
        // which itself asks for the style sheets in a way that is refused from the disk
        assert.deepEqual(await barriers(page), []);
        await context.close();
      }
    } finally {
      await browser.close();
    }
  });
});
